//! What quantities cost by a price list that the user gives. There is none built in: prices are the user's contract.

use serde::{Deserialize, Serialize};

/// Prices, each for one unit in one month of 30 days where time counts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// What the prices are in: "EUR", or whatever counts.
    pub currency: String,
    /// One core of a node for an hour, its memory included.
    pub node_core_hour: f64,
    /// One core of the database's machines for an hour, its memory included.
    pub database_core_hour: f64,
    /// A gigabyte (10^9 bytes) of the database's disk for a month.
    pub database_gigabyte_month: f64,
    /// A gigabyte of photos for a month.
    pub store_gigabyte_month: f64,
    /// A million requests that write an object. 0 where the store is your own.
    pub store_million_puts: f64,
    /// A million requests that read one.
    pub store_million_gets: f64,
    /// A gigabyte that comes in from participants.
    pub network_in_gigabyte: f64,
    /// A gigabyte between nodes and store, both ways.
    pub network_store_gigabyte: f64,
}

/// Prices that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// No TOML, or a price that is missing or not known.
    #[error("{0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// A price below zero, or none at all.
    #[error("a price must be a number of at least 0")]
    Value,
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostLine {
    /// What is paid for.
    pub what: &'static str,
    /// How much of it in a month.
    pub quantity: f64,
    /// Counted in.
    pub unit: &'static str,
    /// The price of one.
    pub price: f64,
    /// Quantity times price.
    pub per_month: f64,
}

/// A month's bill, once the store holds all that is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// What it is in.
    pub currency: String,
    /// Line by line.
    pub lines: Vec<CostLine>,
    /// In all.
    pub per_month: f64,
    /// For a million captures.
    pub per_million_captures: f64,
}

/// The quantities of a month.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantities {
    pub(crate) node_core_hours: f64,
    pub(crate) database_core_hours: f64,
    pub(crate) database_gigabytes: f64,
    pub(crate) store_gigabytes: f64,
    pub(crate) store_puts: f64,
    pub(crate) store_gets: f64,
    pub(crate) network_in_gigabytes: f64,
    pub(crate) network_store_gigabytes: f64,
    pub(crate) captures: f64,
}

impl Prices {
    /// Reads a price list.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let prices: Self = toml::from_str(text).map_err(Box::new)?;
        let all = [
            prices.node_core_hour,
            prices.database_core_hour,
            prices.database_gigabyte_month,
            prices.store_gigabyte_month,
            prices.store_million_puts,
            prices.store_million_gets,
            prices.network_in_gigabyte,
            prices.network_store_gigabyte,
        ];
        if all.iter().all(|price| price.is_finite() && *price >= 0.0) { Ok(prices) } else { Err(PricesError::Value) }
    }

    pub(crate) fn bill(&self, of: Quantities) -> Cost {
        let line = |what, quantity: f64, unit, price: f64| CostLine {
            what,
            quantity,
            unit,
            price,
            per_month: quantity * price,
        };
        let lines = vec![
            line("nodes", of.node_core_hours, "core hours", self.node_core_hour),
            line("database", of.database_core_hours, "core hours", self.database_core_hour),
            line("database's disk", of.database_gigabytes, "GB", self.database_gigabyte_month),
            line("photos", of.store_gigabytes, "GB", self.store_gigabyte_month),
            line("objects written", of.store_puts / 1e6, "million", self.store_million_puts),
            line("objects read", of.store_gets / 1e6, "million", self.store_million_gets),
            line("network in", of.network_in_gigabytes, "GB", self.network_in_gigabyte),
            line("network to the store", of.network_store_gigabytes, "GB", self.network_store_gigabyte),
        ];
        let per_month: f64 = lines.iter().map(|line| line.per_month).sum();
        Cost {
            currency: self.currency.clone(),
            lines,
            per_month,
            per_million_captures: per_month / (of.captures / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../docs/prices.example.toml");

    #[test]
    fn the_example_is_a_price_list_and_says_that_it_is_one() {
        let prices = Prices::parse(EXAMPLE).unwrap();
        assert_eq!(prices.currency, "coins");
        assert!(EXAMPLE.contains("example prices, set your own"));
    }

    #[test]
    fn a_bill_is_quantities_times_prices() {
        let mut prices = Prices::parse(EXAMPLE).unwrap();
        prices.node_core_hour = 2.0;
        prices.store_million_puts = 5.0;
        let zero = Quantities {
            node_core_hours: 0.0,
            database_core_hours: 0.0,
            database_gigabytes: 0.0,
            store_gigabytes: 0.0,
            store_puts: 0.0,
            store_gets: 0.0,
            network_in_gigabytes: 0.0,
            network_store_gigabytes: 0.0,
            captures: 2e6,
        };
        let bill = prices.bill(Quantities { node_core_hours: 10.0, store_puts: 3e6, ..zero });
        assert!((bill.per_month - 35.0).abs() < 1e-9, "{bill:?}");
        assert!((bill.per_million_captures - 17.5).abs() < 1e-9);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(Prices::parse("currency = \"EUR\"").unwrap_err().to_string().contains("node_core_hour"));
        let negative = EXAMPLE.replace("store_gigabyte_month = 0", "store_gigabyte_month = -0");
        assert!(matches!(Prices::parse(&negative), Err(PricesError::Value)), "{negative}");
        assert!(Prices::parse(&format!("{EXAMPLE}\nstore_gigabyte_moth = 1")).is_err());
    }
}
