//! Files that are replaced as a whole: a reader sees the old content or the new, also after a crash.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Only the owner may read and write: for what holds secrets.
pub const PRIVATE: u32 = 0o600;

/// Everyone may read, as far as the process's umask lets them.
pub const READABLE: u32 = 0o644;

/// Puts `content` at `path` with permissions `mode`, on disk before it returns.
///
/// One writer a path: the new content is prepared under a fixed name beside it.
///
/// # Errors
/// The directory can't be written; the old content stays.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut prepared = path.as_os_str().to_owned();
    prepared.push(".new");
    let prepared = Path::new(&prepared);
    // What a crash left there may have other permissions.
    match fs::remove_file(prepared) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(prepared)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(prepared, path)?;
    // The rename itself is only on disk with the directory.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn content_and_permissions_are_replaced_and_nothing_is_left_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epoch.json");
        fs::write(dir.path().join("epoch.json.new"), "left by a crash").unwrap();
        replace(&path, b"1", READABLE).unwrap();
        replace(&path, b"2", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
