//! The time that a thread sees while it is followed.

use std::{
    collections::BTreeMap,
    ffi::{c_int, c_long, c_void},
    time::{Duration, Instant},
};

use nix::{
    libc::{self, user_regs_struct},
    sys::ptrace,
    unistd::Pid,
};

use crate::code::Origin;

// Not those of CPU time (clock_gettime(2)).
const CLOCKS: [c_int; 6] = [
    libc::CLOCK_REALTIME,
    libc::CLOCK_REALTIME_COARSE,
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_MONOTONIC_COARSE,
    libc::CLOCK_MONOTONIC_RAW,
    libc::CLOCK_BOOTTIME,
];
const NANOSECONDS: c_long = 1_000_000_000;

/// The clocks of a thread, which stand still between its system calls: a request takes a thousand times as long as it
/// would, and what is due twice a second would be due in each.
pub struct Clock {
    thread: Pid,
    began: Instant,
    /// How much time was spent in system calls.
    passed: Duration,
    last_instruction: u64,
    reading: Option<Reading>,
    /// By clock, in nanoseconds: none may go back.
    last: BTreeMap<u64, c_long>,
}

/// A call of `clock_gettime` from which the thread has not returned yet.
struct Reading {
    stack_pointer: u64,
    clock: u64,
    /// Where the time is written to.
    address: u64,
}

impl Clock {
    pub fn of(thread: Pid) -> Self {
        Self {
            thread,
            began: Instant::now(),
            passed: Duration::ZERO,
            last_instruction: 0,
            reading: None,
            last: BTreeMap::new(),
        }
    }

    /// To be called before each instruction: `took` is how long the last one was under way.
    pub fn before(
        &mut self,
        registers: &user_regs_struct,
        origin: Origin,
        took: Duration,
    ) -> nix::Result<()> {
        // `syscall`, of two bytes, leaves the address of the next instruction there.
        if registers.rcx == registers.rip && registers.rip.wrapping_sub(self.last_instruction) == 2
        {
            self.passed += took;
        }
        self.last_instruction = registers.rip;
        match self.reading.take() {
            None if origin == Origin::Vdso => {
                self.reading = Some(Reading {
                    stack_pointer: registers.rsp,
                    clock: registers.rdi,
                    address: registers.rsi,
                });
            }
            None => {}
            Some(reading) if registers.rsp <= reading.stack_pointer => self.reading = Some(reading),
            // Others of its functions get an address first, or return the time.
            Some(reading)
                if registers.rax == 0
                    && CLOCKS.iter().any(|&clock| reading.clock == clock as u64) =>
            {
                self.put_back(&reading)?
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn put_back(&mut self, &Reading { clock, address, .. }: &Reading) -> nix::Result<()> {
        let [seconds, nanoseconds] = [address, address + 8].map(|word| word as *mut c_void);
        let time = ptrace::read(self.thread, seconds)? * NANOSECONDS
            + ptrace::read(self.thread, nanoseconds)?;
        let standstill = self.began.elapsed().saturating_sub(self.passed).as_nanos() as c_long;
        let last = self.last.entry(clock).or_default();
        *last = (time - standstill).max(*last);
        ptrace::write(self.thread, seconds, *last / NANOSECONDS)?;
        ptrace::write(self.thread, nanoseconds, *last % NANOSECONDS)
    }
}
