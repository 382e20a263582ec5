//! What a disk gives to whoever does nothing else: threads that each write a file, fsync it, rename it into place and
//! fsync the directory, again and again. `bare-loop FOLDER THREADS SECONDS BYTES` prints files a second, and the
//! processor in milliseconds for each.
#![allow(clippy::print_stdout, reason = "it prints its figures")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result};
use bench::Processor;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, threads, seconds, bytes] = &arguments[..] else {
        anyhow::bail!("usage: bare-loop FOLDER THREADS SECONDS BYTES");
    };
    let (threads, seconds, bytes): (usize, f64, usize) = (threads.parse()?, seconds.parse()?, bytes.parse()?);
    let folder = Path::new(folder);
    for place in ["staging", "photos"] {
        fs::create_dir_all(folder.join(place)).context("making its folders")?;
    }
    let photo = vec![0x5A; bytes];
    let (stop, stored, begin) = (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(threads + 1));
    thread::scope(|scope| -> Result<()> {
        let store = |number| {
            begin.wait();
            for serial in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                store_one(folder, &format!("{number}-{serial}"), &photo)?;
                stored.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, std::io::Error>(())
        };
        let workers: Vec<_> = (0..threads).map(|number| scope.spawn(move || store(number))).collect();
        begin.wait();
        let (began, processor) = (Instant::now(), Processor::now());
        thread::sleep(Duration::from_secs_f64(seconds));
        let (done, took, used) =
            (stored.load(Ordering::Relaxed), began.elapsed(), Processor::now().since(processor).used);
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        #[expect(clippy::cast_precision_loss, reason = "no disk stores that many")]
        let (per_second, each_ms) = (done as f64 / took.as_secs_f64(), used * 1e3 / done.max(1) as f64);
        println!("{per_second:.1} {each_ms:.4}");
        Ok(())
    })
}

fn store_one(folder: &Path, name: &str, photo: &[u8]) -> std::io::Result<()> {
    let staged = folder.join("staging").join(name);
    let mut file = File::create_new(&staged)?;
    file.write_all(photo)?;
    file.sync_all()?;
    let photos = folder.join("photos");
    fs::rename(staged, photos.join(name))?;
    File::open(photos)?.sync_all()
}
