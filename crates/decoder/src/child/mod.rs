//! The child: reads a photo, decodes it, answers, until its input ends.
//!
//! **Promises** that it is confined before it sees the first photo; that it takes no more memory for a photo than the
//! parent allowed; that it ends with its parent; that nothing of a photo goes anywhere but into the answer. An abort is
//! allowed: that is what the process is for.

mod confine;
#[cfg(debug_assertions)]
mod faults;
mod memory;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use imaging::{DevelopError, Developed, Recipe};

pub(crate) use confine::Without;

use crate::protocol;
use crate::protocol::{
    CHILD_GREETS, ChildHello, Operation, Outcome, PARENT_GREETS, ParentHello, Request, VERSION, WireDerivative,
    WireDeveloped,
};
use memory::Memory;

/// Runs until standard input ends.
pub(crate) fn run(without: Without) -> ExitCode {
    match serve(without) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn serve(without: Without) -> io::Result<()> {
    std::panic::set_hook(Box::new(say_where));
    // Copies of the descriptors, without the buffers of std: a photo should not be copied more often than needed, and
    // standard output looks for line ends.
    let mut from_parent = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut to_parent = File::from(io::stdout().as_fd().try_clone_to_owned()?);

    let mut greeting = [0; PARENT_GREETS.len()];
    from_parent.read_exact(&mut greeting)?;
    if greeting != PARENT_GREETS {
        return Err(protocol::malformed("this is for the server to start, not for people"));
    }
    let Some((hello, _)) = protocol::read_header::<ParentHello>(&mut from_parent)? else { return Ok(()) };
    let memory = Memory::open(hello.memory_bytes_max)?;
    let protections = confine::confine(hello.niceness, &memory, [from_parent.as_fd(), to_parent.as_fd()], without)?;
    to_parent.write_all(&CHILD_GREETS)?;
    protocol::write_frame(&mut to_parent, &ChildHello { version: VERSION.to_owned(), protections }, &[])?;

    while let Some((request, photo_bytes)) = protocol::read_header::<Request>(&mut from_parent)? {
        memory.allow(request.memory_bytes)?;
        let mut photo = vec![0; photo_bytes as usize];
        from_parent.read_exact(&mut photo)?;
        #[cfg(debug_assertions)]
        faults::play(&photo);
        let (outcome, bodies) = answer(request.operation, &photo, &request.recipe.into_recipe()?);
        drop(photo);
        let bodies = bodies.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let leaving = memory.has_grown()?;
        protocol::write_frame(&mut to_parent, &protocol::Answer { outcome, leaving }, &bodies)?;
    }
    Ok(())
}

fn answer(operation: Operation, photo: &[u8], recipe: &Recipe) -> (Outcome, Vec<Vec<u8>>) {
    let done = match operation {
        Operation::Develop => imaging::develop(photo, recipe).map(take_apart),
        Operation::Verify => imaging::verify(photo, recipe).map(|()| (Outcome::Verified, Vec::new())),
        Operation::Strip => imaging::strip(photo).map(|stripped| (Outcome::Stripped, vec![stripped])),
    };
    done.unwrap_or_else(|error| (refusal(&error), Vec::new()))
}

fn refusal(error: &DevelopError) -> Outcome {
    match error {
        DevelopError::Structure(_) | DevelopError::Undecodable(_) => Outcome::Undecodable(error.to_string()),
        DevelopError::Unsupported(_) => Outcome::Unsupported(error.to_string()),
    }
}

fn take_apart(developed: Developed) -> (Outcome, Vec<Vec<u8>>) {
    let derivatives = developed.derivatives.iter().map(|derivative| WireDerivative {
        size: derivative.size.as_str().to_owned(),
        image_type: derivative.image_type.content_type().to_owned(),
        width_px: derivative.width_px,
        height_px: derivative.height_px,
        bytes: derivative.bytes.len() as u64,
    });
    let header = WireDeveloped {
        image_type: developed.image_type.content_type().to_owned(),
        width_px: developed.width_px,
        height_px: developed.height_px,
        orientation: developed.orientation,
        derivatives: derivatives.collect(),
        taken_at: developed.taken_at,
        placeholder: developed.placeholder,
        sharpness_bits: developed.sharpness.to_bits(),
        brightness_bits: developed.brightness.to_bits(),
        perceptual_hash: developed.perceptual_hash,
    };
    (Outcome::Developed(header), developed.derivatives.into_iter().map(|derivative| derivative.bytes).collect())
}

/// A panic's message may quote what was decoded, so it says where and no more; then the process ends as it does on any
/// other fault. The path is cut to its end: where somebody built the program is nobody's business.
fn say_where(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(String::new, |location| {
        let parts = location.file().rsplit('/').take(3).collect::<Vec<_>>();
        let file = parts.into_iter().rev().collect::<Vec<_>>().join("/");
        format!("{file}:{}", location.line())
    });
    complain(&format!("a panic at {place}"));
    std::process::abort();
}

/// Leaves words for the parent, who reads the last line.
fn complain(words: &str) {
    // Nobody is left to be told that standard error is gone.
    drop(writeln!(io::stderr(), "{words}"));
}
