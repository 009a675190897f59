//! What the kernel knows of this machine's TCP connections.

use std::collections::HashSet;
use std::path::Path;

/// State `ESTABLISHED` in the kernel's table.
const ESTABLISHED: &str = "01";

/// State `LISTEN`.
const LISTEN: &str = "0A";

/// One line of the kernel's table.
struct Socket {
    local: u16,
    state: String,
    unread: u64,
    inode: String,
}

/// Returns the bytes that wait to be read on accepted connections of a port.
pub fn unread_bytes(port: u16) -> u64 {
    let here = |socket: &Socket| socket.local == port && socket.state == ESTABLISHED;
    table().into_iter().filter(here).map(|socket| socket.unread).sum()
}

/// Returns the ports on which a process listens.
pub fn listening_ports(process: u32) -> Vec<u16> {
    ports(process, LISTEN)
}

/// Returns the process's own ports of its connections, accepted or made.
pub fn connected_ports(process: u32) -> Vec<u16> {
    ports(process, ESTABLISHED)
}

/// Returns the port of a URL that ends in one.
///
/// # Panics
/// It does not.
pub fn port(url: &str) -> u16 {
    let (_, port) = url.trim_end_matches('/').rsplit_once(':').expect("an address has a port");
    port.parse().expect("a port is a number")
}

fn ports(process: u32, state: &str) -> Vec<u16> {
    let held = inodes(process);
    let theirs = |socket: &Socket| socket.state == state && held.contains(&socket.inode);
    table().into_iter().filter(theirs).map(|socket| socket.local).collect()
}

/// A process that is gone holds none.
fn inodes(process: u32) -> HashSet<String> {
    let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return HashSet::new() };
    let target = |path: &Path| Some(std::fs::read_link(path).ok()?.to_string_lossy().into_owned());
    files
        .filter_map(|file| target(&file.ok()?.path()))
        .filter_map(|name| Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect()
}

fn table() -> Vec<Socket> {
    let text = std::fs::read_to_string("/proc/net/tcp").expect("/proc must be readable");
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
    let socket = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = cells.get(1)?.rsplit_once(':')?;
        let (_, unread) = cells.get(4)?.split_once(':')?;
        Some(Socket {
            local: u16::try_from(hex(local)).ok()?,
            state: (*cells.get(3)?).to_owned(),
            unread: hex(unread),
            inode: (*cells.get(9)?).to_owned(),
        })
    };
    text.lines().skip(1).filter_map(socket).collect()
}
