//! What a process of its own costs: the same photo, developed here and in a child.
//!
//! `cargo run --release -p decoder --example overhead [photo.jpg]`. Without a photo it makes one of 1280x720.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it is run by hand and says what it found")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use decoder::{Decoder, DecoderOptions, Recipe};

const ROUNDS: u32 = 300;

fn main() -> ExitCode {
    // This program is its own child, as the server is.
    if std::env::args().nth(1).as_deref() == Some("child") {
        return decoder::child_main();
    }
    let photo = std::env::args().nth(1).map_or_else(noise, |path| std::fs::read(path).unwrap());
    println!("a photo of {} bytes, {ROUNDS} times each; milliseconds a photo", photo.len());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for _ in 0..2 {
        for operation in ["develop", "verify", "strip"] {
            let here = measure(|| alone(operation, &photo));
            let there = measure(|| {
                let decoder = Decoder::new(options());
                runtime.block_on(async {
                    for _ in 0..ROUNDS {
                        ask(&decoder, operation, &photo).await;
                    }
                    // Its processor time is counted when it was waited for.
                    drop(decoder);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                });
            });
            println!("{operation:8} here {here}   in a child {there}");
        }
    }
    let starts = measure(|| {
        runtime.block_on(async {
            for _ in 0..ROUNDS {
                Decoder::new(options()).try_out().await.unwrap();
            }
        });
    });
    println!("starting a child: {starts}");
    ExitCode::SUCCESS
}

fn options() -> DecoderOptions {
    DecoderOptions {
        program: "/proc/self/exe".into(),
        arguments: vec!["child".to_owned()],
        processes_max: 1,
        memory_bytes_max: 1 << 30,
        timeout: Duration::from_secs(60),
        niceness: 0,
        recipe: Recipe::default(),
    }
}

fn alone(operation: &str, photo: &[u8]) {
    let recipe = Recipe::default();
    for _ in 0..ROUNDS {
        match operation {
            "develop" => drop(imaging::develop(photo, &recipe).unwrap()),
            "verify" => imaging::verify(photo, &recipe).unwrap(),
            _ => drop(imaging::strip(photo).unwrap()),
        }
    }
}

async fn ask(decoder: &Decoder, operation: &str, photo: &[u8]) {
    match operation {
        "develop" => drop(decoder.develop(photo.to_vec()).await.unwrap()),
        "verify" => decoder.verify(photo.to_vec()).await.unwrap(),
        _ => drop(decoder.strip(photo.to_vec()).await.unwrap()),
    }
}

/// Time by the clock and of the processor, this process and its children together.
fn measure(work: impl FnOnce()) -> String {
    let (began, before) = (Instant::now(), processor_time());
    work();
    let per_photo = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(ROUNDS);
    format!("{:.3} (processor {:.3})", per_photo(began.elapsed()), per_photo(processor_time().saturating_sub(before)))
}

fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().collect::<Vec<_>>();
    // User and system, its own and those of children that are gone; a hundred ticks a second.
    fields[11..15].iter().map(|ticks| Duration::from_millis(ticks.parse::<u64>().unwrap() * 10)).sum()
}

/// Some 100 kB of a picture with as much detail as a photo has.
fn noise() -> Vec<u8> {
    let (width, height) = (1280_u32, 720_u32);
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let detail = x.wrapping_mul(x ^ y).wrapping_mul(2_654_435_761) >> 28;
            let shades = [x / 12 + detail, y / 8 + detail, 64 + detail];
            pixels.extend(shades.map(|shade| u8::try_from(shade).unwrap_or(u8::MAX)));
        }
    }
    let mut jpeg = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 84);
    encoder.encode(&pixels, 1280, 720, jpeg_encoder::ColorType::Rgb).unwrap();
    jpeg
}
