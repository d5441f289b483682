//! Asks for lists whose length is only known once they are there: the room that the kernel
//! estimates may be too small by the time that it fills it.

use std::io;

/// After so many times the list grows faster than anybody could read it.
const TRIES: u32 = 8;

/// What `ask` gives. Without room it tells how many bytes there are, otherwise how many it has filled.
///
/// ENOMEM means that the room was too small: it is asked again, with twice as much to spare.
pub(in crate::sampler) fn whole(
    mut ask: impl FnMut(Option<&mut [u8]>) -> io::Result<usize>,
) -> io::Result<Vec<u8>> {
    let mut spare = 4096;
    for _ in 0..TRIES {
        let length = ask(None)?;
        let mut bytes = vec![0; length.saturating_add(length / 8).saturating_add(spare)];
        match ask(Some(&mut bytes)) {
            Ok(filled) => {
                bytes.truncate(filled);
                return Ok(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => spare *= 2,
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list that is so much longer than estimated each time.
    fn grows(by: usize) -> impl FnMut(Option<&mut [u8]>) -> io::Result<usize> {
        move |room| match room {
            None => Ok(10),
            Some(room) if room.len() >= 10 + by => Ok(10 + by),
            Some(_) => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    #[test]
    fn list_that_outgrew_its_room_is_asked_for_again() {
        assert_eq!(whole(grows(0)).unwrap().len(), 10);
        assert_eq!(whole(grows(20_000)).unwrap().len(), 20_010);
    }

    #[test]
    fn list_that_never_fits_is_an_error_and_so_is_a_refusal() {
        let kind = |answer: io::Result<Vec<u8>>| answer.unwrap_err().kind();
        assert_eq!(kind(whole(grows(usize::MAX - 10))), io::ErrorKind::OutOfMemory);
        let refusal = |_: Option<&mut [u8]>| Err(io::ErrorKind::PermissionDenied.into());
        assert_eq!(kind(whole(refusal)), io::ErrorKind::PermissionDenied);
    }
}
