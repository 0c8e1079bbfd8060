//! Searches the causes of an error.

use std::error::Error;
use std::io;
use std::iter;

/// The error and its causes, the deepest last. An I/O error hides the error that it wraps from
/// `source`, so that one is unwrapped.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The first cause of type `E`.
pub fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref::<E>())
}

/// Whether this process or this machine has no free file handles.
pub fn is_out_of_handles(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// The numbers are the same on all common Unix systems.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_inside_an_io_error() {
        let fault = std::fmt::Error;
        let wrapped = io::Error::other(io::Error::other(fault));
        assert_eq!(cause::<std::fmt::Error>(&wrapped), Some(&fault));
        assert_eq!(cause::<std::str::Utf8Error>(&wrapped), None);
        assert!(causes(&wrapped).last().is_some_and(|deepest| deepest.is::<std::fmt::Error>()));
    }
}
