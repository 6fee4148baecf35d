//! What code a process has, by its address.

use std::{error::Error, fs, ops::Range};

use nix::unistd::Pid;

#[derive(Clone, Copy, PartialEq)]
pub enum Origin {
    /// From a file: the program, or a library.
    File,
    /// Made by the process itself: executable memory that is not from a file.
    Compiled,
    /// The kernel's, for reading clocks without a system call.
    Vdso,
}

/// The code of a process.
pub struct Code {
    thread: Pid,
    mappings: Vec<Mapping>,
    /// Where the last address was found: the next one is there, too, as a rule.
    last: usize,
}

struct Mapping {
    addresses: Range<u64>,
    origin: Origin,
}

impl Code {
    pub fn of(thread: Pid) -> Self {
        Self { thread, mappings: Vec::new(), last: 0 }
    }

    /// Fails if there is no code at this address.
    pub fn origin(&mut self, address: u64) -> Result<Origin, Box<dyn Error>> {
        let holds = |mapping: &Mapping| mapping.addresses.contains(&address);
        if !self.mappings.get(self.last).is_some_and(holds) {
            self.last = match self.mappings.iter().position(holds) {
                Some(index) => index,
                None => {
                    let maps = fs::read_to_string(format!("/proc/{}/maps", self.thread))?;
                    self.mappings = maps.lines().filter_map(Mapping::of_line).collect();
                    let found = self.mappings.iter().position(holds);
                    found.ok_or_else(|| format!("there is no code at {address:#x}"))?
                }
            };
        }
        Ok(self.mappings[self.last].origin)
    }
}

impl Mapping {
    /// A line of `/proc/PID/maps`: addresses, permissions, offset, device, inode, and a name, if it has one.
    fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let parsed = |address| u64::from_str_radix(address, 16).ok();
        let addresses = parsed(from)?..parsed(to)?;
        let is_executable = words.next()?.contains('x');
        let origin = match words.nth(3).unwrap_or_default() {
            "[vdso]" => Origin::Vdso,
            name if name.is_empty() || name.starts_with("[anon:") => Origin::Compiled,
            _ => Origin::File,
        };
        is_executable.then_some(Self { addresses, origin })
    }
}
