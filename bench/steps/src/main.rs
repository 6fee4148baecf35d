//! Counts the instructions that a thread of another process executes, one by one: `steps PROCESS THREAD`.
//!
//! For each line that it reads it waits until the thread sleeps, and writes as a line of JSON what the thread has done
//! since the line before: all its `instructions`; those in `compiled` code, which was made at run time, as V8 does of
//! WebAssembly; and the `calls` out of that code, in their order, each with the address that it went to and what it
//! took. Compiled code that such a call calls in turn counts as compiled.
//!
//! Meanwhile the main thread of the process is stopped, which may give work to others at any time, and the clocks that
//! the thread reads stand still between its system calls. The process ends with this one, which ends with its input.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
compile_error!("instructions are counted on Linux on x86-64 (with glibc) only");

mod clock;
mod code;
mod steps;

use std::{
    env,
    error::Error,
    fs, io,
    process::exit,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use clock::Clock;
use code::{Code, Origin};
use nix::{
    errno::Errno,
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use steps::Steps;

const NOT_PERMITTED: &str = "this process may not trace Envoy (ptrace): run it as root, or allow it with \
    `sysctl kernel.yama.ptrace_scope=0`, and in a container with `--cap-add=SYS_PTRACE`";

fn main() {
    if let Err(error) = run() {
        fail(&*error)
    }
}

fn fail(error: &dyn Error) -> ! {
    eprintln!("{error}");
    exit(1)
}

fn run() -> Result<(), Box<dyn Error>> {
    let ids = env::args().skip(1).map(|id| id.parse().map(Pid::from_raw));
    let [process, thread] = ids.collect::<Result<Vec<_>, _>>()?[..] else {
        return Err("usage: steps PROCESS THREAD".into());
    };
    hold(process)?;
    hold(thread)?;
    let steps = Arc::new(Mutex::new(Steps::default()));
    thread::spawn({
        let steps = Arc::clone(&steps);
        // It ends for both: the other one may wait for a step that does not come.
        move || match answer(thread, &steps) {
            Ok(()) => exit(0),
            Err(error) => fail(&*error),
        }
    });
    follow(thread, &steps)
}

/// Stops a thread, which is from then on traced by this one.
fn hold(thread: Pid) -> Result<(), Box<dyn Error>> {
    ptrace::seize(thread, ptrace::Options::PTRACE_O_EXITKILL).map_err(|error| match error {
        Errno::EPERM => NOT_PERMITTED.into(),
        other => Box::<dyn Error>::from(other),
    })?;
    ptrace::interrupt(thread)?;
    waitpid(thread, Some(WaitPidFlag::__WALL))?;
    Ok(())
}

/// Lets the thread do one instruction after the other.
fn follow(thread: Pid, steps: &Mutex<Steps>) -> Result<(), Box<dyn Error>> {
    let mut code = Code::of(thread);
    let mut clock = Clock::of(thread);
    let mut took = Duration::ZERO;
    loop {
        let registers = ptrace::getregs(thread)?;
        let origin = code.origin(registers.rip)?;
        clock.before(&registers, origin, took)?;
        let mut so_far = steps.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.add(registers.rip, registers.rsp, origin == Origin::Compiled);
        drop(so_far);
        let began = Instant::now();
        step(thread)?;
        took = began.elapsed();
    }
}

fn step(thread: Pid) -> Result<(), Box<dyn Error>> {
    let mut signal = None;
    loop {
        ptrace::step(thread, signal)?;
        match waitpid(thread, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => return Ok(()),
            // Nothing was executed: the thread gets what was sent to it first.
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::PtraceEvent(..) => signal = None,
            other => return Err(format!("the thread cannot be followed: {other:?}").into()),
        }
    }
}

fn answer(thread: Pid, steps: &Mutex<Steps>) -> Result<(), Box<dyn Error>> {
    for line in io::stdin().lines() {
        line?;
        while !is_asleep(thread)? {
            thread::sleep(Duration::from_millis(1));
        }
        println!("{}", steps.lock().unwrap_or_else(PoisonError::into_inner).take()?);
    }
    Ok(())
}

/// Whether the thread waits in the kernel for something to do: between two steps it is in other states.
fn is_asleep(thread: Pid) -> Result<bool, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{thread}/stat"))?;
    // The state stands after the name, which is in brackets, and may hold some.
    let (_, state) = stat.rsplit_once(") ").ok_or("/proc/PID/stat has another form")?;
    Ok(state.starts_with('S'))
}
