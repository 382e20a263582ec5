//! Develops every file of a folder, each in a process of its own under the limit of memory that `memory_bytes` names,
//! and writes what came of it to another folder. Prints a line for each. Fails if one panics, dies, or breaks a promise.
//!
//! `cargo run --release -p imaging --example develop -- FOLDER OUTPUT`

#![expect(clippy::print_stdout, reason = "its lines are what it is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use imaging::{ImageType, Recipe, develop, memory_bytes, strip, verify};
use rustix::process::{Resource, Rlimit, setrlimit};

/// What the allocator itself wastes, and the stack.
const SLACK_BYTES: u64 = 8 << 20;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let outcome = match &arguments[..] {
        [flag, photo, output] if flag.as_os_str() == "--one" => one(photo, output).map(|()| true),
        [folder, output] => every(folder, output),
        _ => Err(io::Error::other("usage: develop FOLDER OUTPUT")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn every(folder: &Path, output: &Path) -> io::Result<bool> {
    let mut photos = Vec::new();
    collect(folder, &mut photos)?;
    photos.sort();
    let (mut answered, mut died) = (0, 0);
    for (number, photo) in photos.iter().enumerate() {
        let prefix = output.join(format!("{number:04}"));
        let done = Command::new(env::current_exe()?).arg("--one").arg(photo).arg(prefix).output()?;
        let (line, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let name = photo.strip_prefix(folder).unwrap_or(photo).display();
        // A panic inside a decoder is caught and answered; only the message tells.
        let panics = errors.lines().find(|line| line.contains("panicked at")).unwrap_or_default();
        if done.status.success() {
            answered += 1;
            println!("{name}: {} {panics}", line.trim());
        } else {
            died += 1;
            println!("{name}: DIED {} {}", done.status, errors.trim());
        }
    }
    println!("{answered} answered, {died} died");
    if photos.is_empty() {
        println!("the folder is empty");
    }
    Ok(died == 0 && !photos.is_empty())
}

fn collect(folder: &Path, photos: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), photos)?;
        } else {
            photos.push(entry.path());
        }
    }
    Ok(())
}

/// A number of `/proc/self/status`, in bytes.
fn status_bytes(name: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no such line in the status"))
}

fn one(path: &Path, prefix: &Path) -> io::Result<()> {
    let photo = fs::read(path)?;
    let recipe = Recipe::default();
    let budget = match memory_bytes(&photo, &recipe) {
        Ok(budget) => budget,
        Err(error) => {
            assert!(develop(&photo, &recipe).is_err(), "refused by its header, developed all the same");
            println!("refused: {error}");
            return Ok(());
        }
    };
    let before = status_bytes("VmSize")?;
    let limit = before + budget + SLACK_BYTES;
    setrlimit(Resource::As, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    let outcome = develop(&photo, &recipe);
    let taken = status_bytes("VmPeak")?.saturating_sub(before);
    assert_eq!(outcome.is_ok(), verify(&photo, &recipe).is_ok(), "develop and verify differ");
    let memory = format!("{taken} of {budget} bytes");
    match outcome {
        Err(error) => println!("refused: {error}; {memory}"),
        Ok(developed) => {
            let named = |what: &str, image_type: ImageType| {
                prefix.with_added_extension(what).with_added_extension(image_type.extension())
            };
            for derivative in &developed.derivatives {
                fs::write(named(derivative.size.as_str(), derivative.image_type), &derivative.bytes)?;
            }
            let stripped = strip(&photo).map_err(io::Error::other)?;
            let again = develop(&stripped, &recipe).map_err(io::Error::other)?;
            assert_eq!(again.derivatives, developed.derivatives, "stripped, it looks different");
            fs::write(named("stripped", developed.image_type), stripped)?;
            let (width, height) = (developed.width_px, developed.height_px);
            println!("{} {width}x{height}; {memory}", developed.image_type.content_type());
        }
    }
    Ok(())
}
