//! What is done to nodes and engines.

use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::random::Random;
use testkit::rig::netns::Cut;
use testkit::rig::postgres::Stop;

use super::house::{House, Shape};

/// How long a node may take to end when asked: its drain, and then its deadline.
const END_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Postgres,
    Redis,
    S3,
}

/// One thing that goes wrong, or one step of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One node is killed, and started again.
    KillNode,
    /// One node is cut off from one engine.
    Cut(Engine, Cut),
    /// PostgreSQL breaks everything off, and recovers.
    RestartPostgres,
    KillPostgres,
    /// Redis is killed, and has lost everything.
    KillRedis,
    KillGarage,
    /// One node is replaced: asked to end, and another binary started in its place.
    Replace(usize),
}

const ALL: [Fault; 11] = [
    Fault::KillNode,
    Fault::Cut(Engine::Postgres, Cut::Silence),
    Fault::Cut(Engine::Postgres, Cut::Refusal),
    Fault::Cut(Engine::Redis, Cut::Silence),
    Fault::Cut(Engine::Redis, Cut::Refusal),
    Fault::Cut(Engine::S3, Cut::Silence),
    Fault::Cut(Engine::S3, Cut::Refusal),
    Fault::RestartPostgres,
    Fault::KillPostgres,
    Fault::KillRedis,
    Fault::KillGarage,
];

impl fmt::Display for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::S3 => "s3",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillNode => out.write_str("kill-node"),
            Self::Cut(engine, Cut::Silence) => write!(out, "cut-{engine}"),
            Self::Cut(engine, Cut::Refusal) => write!(out, "refuse-{engine}"),
            Self::RestartPostgres => out.write_str("restart-postgres"),
            Self::KillPostgres => out.write_str("kill-postgres"),
            Self::KillRedis => out.write_str("kill-redis"),
            Self::KillGarage => out.write_str("kill-garage"),
            Self::Replace(node) => write!(out, "replace-node-{node}"),
        }
    }
}

impl Fault {
    /// Those named, in that order; all that this house can have, where none is.
    pub fn plan(names: &str, shape: &Shape, is_rolling: bool) -> Result<Vec<Self>> {
        if is_rolling {
            return Ok((0..usize::from(shape.nodes)).map(Self::Replace).collect());
        }
        let can_be = |fault: &Self| match fault {
            Self::KillNode | Self::Replace(_) => true,
            Self::Cut(Engine::Postgres, _) | Self::RestartPostgres | Self::KillPostgres => shape.has_postgres,
            Self::Cut(Engine::Redis, _) | Self::KillRedis => shape.has_redis,
            Self::Cut(Engine::S3, _) | Self::KillGarage => shape.has_s3,
        };
        let known: Vec<Self> = ALL.into_iter().filter(can_be).collect();
        let listed = || known.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match names {
            "" => Ok(known.clone()),
            "none" => Ok(Vec::new()),
            names => names
                .split(',')
                .map(|name| {
                    let found = known.iter().find(|fault| fault.to_string() == name).copied();
                    found.with_context(|| format!("--faults {name}: this house knows {}", listed()))
                })
                .collect(),
        }
    }

    /// Whether nobody can be served meanwhile, on whatever node.
    pub fn stops_everybody(self) -> bool {
        matches!(self, Self::RestartPostgres | Self::KillPostgres | Self::KillGarage)
    }

    /// Does it, holds it as long as it has a length, and undoes it.
    pub fn strike(self, house: &mut House, hold: Duration, random: &mut Random) -> Result<()> {
        let victim = usize::try_from(random.between(0, house.nodes.len() as u64))?;
        match self {
            Self::KillNode => {
                if random.one_in(2) {
                    house.nodes[victim].kill_alone();
                } else {
                    house.nodes[victim].kill();
                }
                thread::sleep(hold);
                house.nodes[victim] = house.nodes[victim].start_again()?;
            }
            Self::Cut(engine, how) => {
                let address = address(house, engine)?;
                let member = house.network.member(victim);
                member.cut(address, how)?;
                thread::sleep(hold);
                member.heal(address, how)?;
            }
            Self::RestartPostgres | Self::KillPostgres => {
                let postgres = house.postgres.as_mut().context("no PostgreSQL")?;
                if self == Self::RestartPostgres {
                    postgres.stop(Stop::Immediate)?;
                } else {
                    postgres.kill();
                }
                thread::sleep(hold);
                postgres.start_again()?;
            }
            Self::KillRedis => {
                let redis = house.redis.as_mut().context("no Redis")?;
                redis.kill();
                thread::sleep(hold);
                redis.start_again()?;
            }
            Self::KillGarage => {
                let garage = house.garage.as_mut().context("no Garage")?;
                garage.kill();
                thread::sleep(hold);
                garage.start_again()?;
            }
            Self::Replace(node) => {
                let next = house.shape.next_binary.clone();
                let ended = house.nodes[node].terminate(END_LIMIT)?;
                ensure!(ended.success(), "node {node} ended with {ended}");
                house.nodes[node] = house.nodes[node].builder().binary(&next).start()?;
            }
        }
        Ok(())
    }
}

fn address(house: &House, engine: Engine) -> Result<SocketAddr> {
    let address = match engine {
        Engine::Postgres => house.postgres.as_ref().map(testkit::rig::postgres::Postgres::address),
        Engine::Redis => house.redis.as_ref().map(testkit::rig::redis::Redis::address),
        Engine::S3 => house.garage.as_ref().map(testkit::rig::garage::Garage::address),
    };
    match address {
        Some(address) => Ok(address),
        None => bail!("no {engine} in this house"),
    }
}
