//! What a thumbnail costs: CPU milliseconds of this process for each, made of one photo again and again. Or makes the
//! photos to measure with. `bench/thumbnail/run` calls it.
//!
//! `thumbnail --make FOLDER`, `thumbnail PHOTO TIMES`, and `thumbnail --stages PHOTO TIMES` for what a whole development
//! costs and what each of its stages adds. `thumbnail --untimed thumbnail|development PHOTO TIMES` does the work and asks
//! no clock, for whoever counts its instructions: where rustix looks for the clock, valgrind shows nothing.

#![expect(clippy::print_stdout, reason = "its number is what it is for")]

use std::path::Path;
use std::{env, fs, io};

use imaging::{ImageType, Limits, Recipe, develop, thumbnail, verify};
use rustix::time::{ClockId, clock_gettime};

const THUMB_PX: u32 = 320;
const QUALITY: u8 = 80;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--make", folder] => make(Path::new(folder)),
        ["--stages", photo, times] => stages(photo, times),
        ["--untimed", "thumbnail", photo, times] => repeat(photo, times, one_thumbnail),
        ["--untimed", "development", photo, times] => {
            repeat(photo, times, |photo| develop(photo, &Recipe::default()).map(drop))
        }
        [photo, times] => {
            let one = measure(photo, times, one_thumbnail)?;
            println!("{one:.3}");
            Ok(())
        }
        _ => Err(io::Error::other(
            "usage: thumbnail --make FOLDER | [--stages | --untimed thumbnail|development] PHOTO TIMES",
        )),
    }
}

fn one_thumbnail(photo: &[u8]) -> Result<(), imaging::DevelopError> {
    thumbnail(photo, THUMB_PX, QUALITY, &Limits::default()).map(drop)
}

fn repeat(photo: &str, times: &str, work: impl Fn(&[u8]) -> Result<(), imaging::DevelopError>) -> io::Result<()> {
    let photo = fs::read(photo)?;
    let times: u32 = times.parse().map_err(io::Error::other)?;
    for _ in 0..times {
        work(&photo).map_err(io::Error::other)?;
    }
    Ok(())
}

fn measure(photo: &str, times: &str, work: impl Fn(&[u8]) -> Result<(), imaging::DevelopError>) -> io::Result<f64> {
    let photo = fs::read(photo)?;
    let times: u32 = times.parse().map_err(io::Error::other)?;
    // Once before: pages and tables are then there, as they are in a process that goes on working.
    work(&photo).map_err(io::Error::other)?;
    let start = cpu_ms();
    for _ in 0..times {
        work(&photo).map_err(io::Error::other)?;
    }
    Ok((cpu_ms() - start) / f64::from(times))
}

fn stages(photo: &str, times: &str) -> io::Result<()> {
    let with = |formats: &[ImageType]| {
        let recipe = Recipe { formats: formats.to_vec(), ..Recipe::default() };
        measure(photo, times, |photo| develop(photo, &recipe).map(drop))
    };
    let decode = measure(photo, times, |photo| verify(photo, &Recipe::default()))?;
    let without = with(&[])?;
    println!("inspect and decode, whole   {decode:8.2}");
    println!("resize, colour, turn, signs {:8.2}", without - decode);
    println!("JPEG of both sizes          {:8.2}", with(&[ImageType::Jpeg])? - without);
    println!("WebP of both sizes          {:8.2}", with(&[ImageType::WebP])? - without);
    println!("all                         {:8.2}", with(&[ImageType::Jpeg, ImageType::WebP])?);
    Ok(())
}

/// User and system time of all threads.
#[expect(clippy::cast_precision_loss, reason = "a process does not live that long")]
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, width, height) in [("1280x720.jpg", 1280, 720), ("12-megapixels.jpg", 4000, 3000)] {
        let mut bytes = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, 88);
        encoder
            .encode(&picture(width, height), width, height, jpeg_encoder::ColorType::Rgb)
            .map_err(io::Error::other)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

/// Light falling off, an edge, texture, and the grain of a sensor.
fn picture(width: u16, height: u16) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut rgb = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..height {
        for x in 0..width {
            let (across, down) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let is_inside = (across - 0.5).hypot(down - 0.5) < 0.3;
            let texture = (across * 240.0).sin() * (down * 180.0).cos() * 20.0;
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let grain = f64::from(u8::try_from(state % 11).unwrap_or_default()) - 5.0;
            let subject = if is_inside { 60.0 } else { 0.0 };
            for light in [across * 160.0 + subject, down * 150.0 + subject * 0.7, (1.0 - across) * 140.0] {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
                rgb.push((light + 40.0 + texture + grain).clamp(0.0, 255.0) as u8);
            }
        }
    }
    rgb
}
