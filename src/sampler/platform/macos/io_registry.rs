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

use crate::sample::{Device, DeviceKind, IoTime, Ticks};

/// The default port of the registry.
const MAIN_PORT: u32 = 0;
const SEARCH_CHILDREN: u32 = 1;

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
    let drivers = drivers()?;
    let next = || Some(IOIteratorNext(drivers.0)).filter(|&object| object != 0).map(Object);
    Ok(std::iter::from_fn(next).filter_map(|driver| device(&driver)).collect())
}

fn drivers() -> io::Result<Object> {
    // SAFETY: the name is a C string.
    let matching = unsafe { IOServiceMatching(c"IOBlockStorageDriver".as_ptr()) };
    let matching = matching.map(|matching| CFRetained::<CFDictionary>::from(&matching));
    let mut drivers = 0;
    // SAFETY: the call takes the dictionary over and writes one object.
    let result = unsafe { IOServiceGetMatchingServices(MAIN_PORT, matching, &raw mut drivers) };
    if result == 0 && drivers != 0 {
        Ok(Object(drivers))
    } else {
        Err(io::Error::other(format!("IOKit says {result}")))
    }
}

/// `None` for a driver without a disk or without counters.
fn device(driver: &Object) -> Option<Device> {
    let key = |name| CFString::from_static_str(name);
    // SAFETY: the driver is alive, the plane a C string of the system.
    let (name, statistics) = unsafe {
        let plane = kIOServicePlane.as_ptr().cast_mut().cast();
        let (name, statistics) = (key("BSD Name"), key("Statistics"));
        (
            IORegistryEntrySearchCFProperty(
                driver.0,
                plane,
                Some(&name),
                kCFAllocatorDefault,
                SEARCH_CHILDREN,
            )?,
            IORegistryEntryCreateCFProperty(driver.0, Some(&statistics), kCFAllocatorDefault, 0)?,
        )
    };
    let statistics = statistics.downcast::<CFDictionary>().ok()?;
    let count = |name| number(&statistics, &key(name));
    let time =
        |name| -> Option<IoTime> { count(name).map(|nanoseconds| Ticks(nanoseconds / 1_000_000)) };
    Some(Device {
        device: name.downcast::<CFString>().ok()?.to_string(),
        kind: Some(DeviceKind::Disk),
        reads: count("Operations (Read)"),
        writes: count("Operations (Write)"),
        read_bytes: count("Bytes (Read)"),
        write_bytes: count("Bytes (Write)"),
        read_time: time("Total Time (Read)"),
        write_time: time("Total Time (Write)"),
        ..Device::default()
    })
}

fn number(dictionary: &CFDictionary, key: &CFString) -> Option<u64> {
    let mut value = std::ptr::null();
    let key: *const CFString = key;
    // SAFETY: the keys of a property list are strings, its values objects that live as long as it.
    let value = unsafe {
        if !dictionary.value_if_present(key.cast(), &raw mut value) {
            return None;
        }
        value.cast::<CFType>().as_ref()?
    };
    value.downcast_ref::<CFNumber>()?.as_i64()?.try_into().ok()
}
