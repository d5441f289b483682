//! Block devices from the I/O Registry: the `Statistics` of each `IOBlockStorageDriver`.

use std::io;

use objc2_core_foundation::{
    CFDictionary, CFNumber, CFRetained, CFString, CFType, kCFAllocatorDefault,
};
use objc2_io_kit::{
    IOIteratorNext, IOObjectRelease, IORegistryEntryCreateCFProperty,
    IORegistryEntrySearchCFProperty, IOServiceGetMatchingServices, IOServiceMatching, io_object_t,
    kIOServicePlane,
};

use super::super::darwin::disk;
use crate::sample::Device;

/// The default port of the registry.
const MAIN_PORT: u32 = 0;
/// kIORegistryIterateRecursively.
const SEARCH_CHILDREN: u32 = 1;
/// The same with kIORegistryIterateParents.
const SEARCH_PARENTS: u32 = 3;

/// An object of the registry, given back when dropped.
struct Object(io_object_t);

impl Drop for Object {
    fn drop(&mut self) {
        // Nobody can do anything about a failure.
        let _ignored = IOObjectRelease(self.0);
    }
}

/// Counters since boot of each whole disk.
pub(super) fn devices() -> io::Result<Vec<Device>> {
    let Some(drivers) = drivers()? else { return Ok(Vec::new()) };
    let next = || Some(IOIteratorNext(drivers.0)).filter(|&object| object != 0).map(Object);
    Ok(std::iter::from_fn(next).filter_map(|driver| device(&driver)).collect())
}

/// `None` on a machine without such disks.
fn drivers() -> io::Result<Option<Object>> {
    // SAFETY: the name is a C string.
    let matching = unsafe { IOServiceMatching(c"IOBlockStorageDriver".as_ptr()) };
    let matching = matching.map(|matching| CFRetained::<CFDictionary>::from(&matching));
    let mut drivers = 0;
    // SAFETY: the call takes the dictionary over and writes one object.
    let result = unsafe { IOServiceGetMatchingServices(MAIN_PORT, matching, &raw mut drivers) };
    if result != 0 {
        return Err(io::Error::other(format!("IOKit says {result}")));
    }
    Ok((drivers != 0).then(|| Object(drivers)))
}

/// `None` for a driver without a disk or without counters.
fn device(driver: &Object) -> Option<Device> {
    let name = searched(driver, "BSD Name", SEARCH_CHILDREN)?.downcast::<CFString>().ok()?;
    let key = CFString::from_static_str("Statistics");
    // SAFETY: the driver is alive.
    let statistics =
        unsafe { IORegistryEntryCreateCFProperty(driver.0, Some(&key), kCFAllocatorDefault, 0)? };
    let statistics = statistics.downcast::<CFDictionary>().ok()?;
    let location = location(driver);
    Some(disk::device(name.to_string(), location.as_deref(), |name| number(&statistics, name)))
}

/// Where the disk lies: `Internal`, `External`, `File`, say.
fn location(driver: &Object) -> Option<String> {
    let protocol = searched(driver, "Protocol Characteristics", SEARCH_PARENTS)?;
    let protocol = protocol.downcast::<CFDictionary>().ok()?;
    let location = value(&protocol, "Physical Interconnect Location")?;
    Some(location.downcast_ref::<CFString>()?.to_string())
}

/// The first property of that name among the driver's relatives.
fn searched(driver: &Object, name: &'static str, options: u32) -> Option<CFRetained<CFType>> {
    let key = CFString::from_static_str(name);
    // SAFETY: the driver is alive, the plane a C string of the system.
    unsafe {
        let plane = kIOServicePlane.as_ptr().cast_mut().cast();
        IORegistryEntrySearchCFProperty(driver.0, plane, Some(&key), kCFAllocatorDefault, options)
    }
}

fn number(dictionary: &CFDictionary, name: &'static str) -> Option<u64> {
    value(dictionary, name)?.downcast_ref::<CFNumber>()?.as_i64()?.try_into().ok()
}

fn value<'a>(dictionary: &'a CFDictionary, name: &'static str) -> Option<&'a CFType> {
    let key = CFString::from_static_str(name);
    let key: *const CFString = &raw const *key;
    let mut value = std::ptr::null();
    // SAFETY: the keys of a property list are strings, its values objects that live as long as it.
    unsafe {
        if !dictionary.value_if_present(key.cast(), &raw mut value) {
            return None;
        }
        value.cast::<CFType>().as_ref()
    }
}
