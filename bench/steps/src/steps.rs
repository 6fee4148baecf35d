//! What was executed, by the calls between compiled code and the rest.

use std::mem;

use serde_json::{Value, json};

/// What a thread has executed.
#[derive(Default)]
pub struct Steps {
    instructions: u64,
    compiled: u64,
    calls: Vec<Call>,
    /// The crossings from which the thread has not returned yet.
    crossings: Vec<Crossing>,
}

/// A call from compiled code to other code.
struct Call {
    address: u64,
    instructions: u64,
}

/// Where the thread went into compiled code, or from there into a call.
struct Crossing {
    /// As it was with the first instruction: that of the caller is higher.
    stack_pointer: u64,
    /// The index of the call, if that is what it went into.
    call: Option<usize>,
}

impl Steps {
    /// Adds the instruction at this address.
    pub fn add(&mut self, address: u64, stack_pointer: u64, is_compiled: bool) {
        while self.crossings.last().is_some_and(|last| last.stack_pointer < stack_pointer) {
            self.crossings.pop();
        }
        let was_compiled = self.crossings.last().is_some_and(|last| last.call.is_none());
        if is_compiled != was_compiled {
            let call = was_compiled.then_some(self.calls.len());
            if was_compiled {
                self.calls.push(Call { address, instructions: 0 });
            }
            self.crossings.push(Crossing { stack_pointer, call });
        }
        self.instructions += 1;
        match self.crossings.last().map(|last| last.call) {
            Some(None) => self.compiled += 1,
            Some(Some(call)) => self.calls[call].instructions += 1,
            None => {}
        }
    }

    /// What was added since it was taken last.
    pub fn take(&mut self) -> Result<Value, &'static str> {
        let Self { instructions, compiled, calls, crossings } = mem::take(self);
        if !crossings.is_empty() {
            return Err("the thread waits in compiled code, or in a call from there");
        }
        let calls: Vec<_> = calls
            .iter()
            .map(|Call { address, instructions }| json!([format!("{address:#x}"), instructions]))
            .collect();
        Ok(json!({ "instructions": instructions, "compiled": compiled, "calls": calls }))
    }
}
