//! Turns an error into one of the standard library, for programs whose calls return `io::Result`.

use std::io::{self, ErrorKind};

use super::Error;

impl From<Error> for io::Error {
    /// Keeps the error as the inner one, and with it its text and its errno.
    ///
    /// The kind is that of the errno, if the error has one. A wait that was cancelled or
    /// interrupted is [`ErrorKind::Other`]: [`ErrorKind::Interrupted`] would have many callers try
    /// again.
    fn from(error: Error) -> Self {
        Self::new(kind(&error), error)
    }
}

fn kind(error: &Error) -> ErrorKind {
    if let Some(errno) = error.errno() {
        return io::Error::from(errno).kind();
    }
    match error {
        Error::InvalidName { .. }
        | Error::ZeroPollInterval
        | Error::DescriptionTooLong { .. }
        | Error::InvalidMode { .. }
        | Error::SchemaTooLong { .. } => ErrorKind::InvalidInput,
        Error::Unsupported { .. } => ErrorKind::Unsupported,
        Error::NotALock { .. }
        | Error::BlockMismatch { .. }
        | Error::Poisoned { .. }
        | Error::Overwritten { .. } => ErrorKind::InvalidData,
        Error::ForeignOwner { .. }
        | Error::ModeTooWide { .. }
        | Error::InUseWithOtherMode { .. } => ErrorKind::PermissionDenied,
        Error::Orphaned { .. } => ErrorKind::NotFound,
        Error::OpenTimedOut { .. } | Error::TimedOut { .. } => ErrorKind::TimedOut,
        Error::WouldDeadlock { .. } => ErrorKind::Deadlock,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};
    use std::path::PathBuf;

    use rustix::io::Errno;

    use super::Error;

    #[test]
    fn an_io_error_keeps_the_kind_of_the_errno_and_the_text() {
        let error = || Error::System {
            operation: "create",
            path: PathBuf::from("/dev/shm/l"),
            errno: Errno::ACCESS,
        };
        let converted = io::Error::from(error());
        assert_eq!(converted.kind(), ErrorKind::PermissionDenied);
        assert_eq!(converted.to_string(), error().to_string());
        let inner = converted.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
        assert_eq!(inner.and_then(|inner| inner.errno()), Some(Errno::ACCESS));
    }

    #[test]
    fn an_error_without_an_errno_has_the_kind_of_its_meaning() {
        let kind = |error: Error| io::Error::from(error).kind();
        let name = || "l".to_owned();
        assert_eq!(kind(Error::WouldDeadlock { name: name() }), ErrorKind::Deadlock);
        assert_eq!(kind(Error::Cancelled { name: name(), holder: None }), ErrorKind::Other);
        assert_eq!(kind(Error::Interrupted { name: name(), holder: None }), ErrorKind::Other);
        assert_eq!(kind(Error::ZeroPollInterval), ErrorKind::InvalidInput);
    }
}
