//! What is struck down, and when.

use anyhow::Result;
use testkit::random::Random;
use testkit::rig::Rig;

use super::House;

/// Whom a strike hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    Server,
    Worker,
    Decoder,
    /// Redis goes on and has lost everything.
    Flush,
    /// Redis is gone for a while, and has then lost everything.
    Redis,
}

/// Strikes in random order, each with the share of all work after which it comes.
#[allow(clippy::cast_precision_loss, reason = "a share needs no 52 bits")]
pub fn plan(rig: &Rig, house: &House, random: &mut Random) -> Result<Vec<(f64, Strike)>> {
    let kills: usize = rig.args.number("kills")?;
    let mut strikes: Vec<Strike> =
        (0..kills).map(|at| if house.has_worker() && at % 2 == 1 { Strike::Worker } else { Strike::Server }).collect();
    strikes.extend(vec![Strike::Decoder; rig.args.number("decoder-kills")?]);
    if house.has_redis() {
        strikes.extend(vec![Strike::Flush; rig.args.number("flushes")?]);
        strikes.push(Strike::Redis);
    }
    for at in (1..strikes.len()).rev() {
        strikes.swap(at, usize::try_from(random.between(0, at as u64 + 1))?);
    }
    // Not in the last of the work: whoever is killed then has nothing left to lose.
    let each = 0.92 / strikes.len().max(1) as f64;
    let share = |at: usize, random: &mut Random| each * (at as f64 + random.between(10, 100) as f64 / 100.0);
    Ok(strikes.into_iter().enumerate().map(|(at, strike)| (share(at, random), strike)).collect())
}
