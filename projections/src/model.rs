//! Which read models there are.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use eventstore::{EventStore, RecordedEvent};
use read_models::search::{self, DirectoryId};
use read_models::tables::Model;
use read_models::{
    analytics, deliveries, notifications, orders, payments, products, sagas, stock, timeline, users,
};

use crate::analytics::Analytics;
use crate::deliveries::Deliveries;
use crate::generation::{Generation, OpenError, Tables};
use crate::notifications::Notifications;
use crate::orders::Orders;
use crate::payments::Payments;
use crate::products::Products;
use crate::sagas::Sagas;
use crate::stock::StockLevels;
use crate::timeline::Timeline;
use crate::users::Users;

/// A read model. One more in tables is a variant, its line in [`ReadModel::ALL`], [`ReadModel::tables`] and
/// `ReadModel::open_tables`, and its [`Model`] in [`read_models::IN_TABLES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadModel {
    Products,
    Stock,
    Users,
    Search,
    Notifications,
    Deliveries,
    Payments,
    Orders,
    Timeline,
    Sagas,
    Analytics,
}

/// A name that is no read model's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no read model `{0}`, only {known}", known = known())]
pub struct UnknownModel(String);

/// The names of all there are, as they stand in a sentence.
fn known() -> String {
    let names = ReadModel::ALL.map(ReadModel::name);
    let (last, others) = names.split_last().expect("there are several");
    format!("{} and {last}", others.join(", "))
}

impl ReadModel {
    pub const ALL: [Self; 11] = [
        Self::Products,
        Self::Stock,
        Self::Users,
        Self::Search,
        Self::Notifications,
        Self::Deliveries,
        Self::Payments,
        Self::Orders,
        Self::Timeline,
        Self::Sagas,
        Self::Analytics,
    ];

    /// What its generations are made of; none of an index.
    pub const fn tables(self) -> Option<&'static Model> {
        match self {
            Self::Products => Some(&products::MODEL),
            Self::Stock => Some(&stock::MODEL),
            Self::Users => Some(&users::MODEL),
            Self::Timeline => Some(&timeline::MODEL),
            Self::Sagas => Some(&sagas::MODEL),
            Self::Orders => Some(&orders::MODEL),
            Self::Payments => Some(&payments::MODEL),
            Self::Deliveries => Some(&deliveries::MODEL),
            Self::Notifications => Some(&notifications::MODEL),
            Self::Analytics => Some(&analytics::MODEL),
            Self::Search => None,
        }
    }

    /// Opens a generation in tables where its last transaction left it; none of an index.
    pub(crate) async fn open_tables(
        self,
        store: &EventStore,
        number: i32,
        epoch: i64,
    ) -> Result<Option<Box<dyn Generation>>, OpenError> {
        Ok(Some(match self {
            Self::Products => Box::new(Tables::<Products>::open(store, number, epoch).await?),
            Self::Stock => Box::new(Tables::<StockLevels>::open(store, number, epoch).await?),
            Self::Users => Box::new(Tables::<Users>::open(store, number, epoch).await?),
            Self::Timeline => Box::new(Tables::<Timeline>::open(store, number, epoch).await?),
            Self::Sagas => Box::new(Tables::<Sagas>::open(store, number, epoch).await?),
            Self::Orders => Box::new(Tables::<Orders>::open(store, number, epoch).await?),
            Self::Payments => Box::new(Tables::<Payments>::open(store, number, epoch).await?),
            Self::Deliveries => Box::new(Tables::<Deliveries>::open(store, number, epoch).await?),
            Self::Notifications => {
                Box::new(Tables::<Notifications>::open(store, number, epoch).await?)
            }
            Self::Analytics => Box::new(Tables::<Analytics>::open(store, number, epoch).await?),
            Self::Search => return Ok(None),
        }))
    }

    /// What an event that cannot be read is parked with: its stream, or more where what follows it elsewhere must not be
    /// told first.
    pub(crate) fn parks_with(self) -> fn(&RecordedEvent) -> (String, String) {
        match self {
            Self::Timeline => Timeline::parks_with,
            Self::Products
            | Self::Stock
            | Self::Users
            | Self::Search
            | Self::Notifications
            | Self::Deliveries
            | Self::Payments
            | Self::Orders
            | Self::Sagas
            | Self::Analytics => RecordedEvent::stream,
        }
    }

    /// The name that operators use.
    pub const fn name(self) -> &'static str {
        match self.tables() {
            Some(tables) => tables.name,
            None => search::NAME,
        }
    }

    /// The shape that this program gives new generations.
    pub const fn shape(self) -> &'static str {
        match self.tables() {
            Some(tables) => tables.shape,
            None => search::SHAPE,
        }
    }

    /// The name in `projections`, `checkpoints`, `dead_letters` and `leases`. An index belongs to a data
    /// directory and carries its id; a directory that has none gets one.
    pub fn consumer(self, data_directory: &Path) -> io::Result<String> {
        match self.tables() {
            Some(tables) => Ok(tables.name.to_owned()),
            None => Ok(DirectoryId::ensure(data_directory)?.consumer()),
        }
    }

    /// The model of a registered name, as `search` of `search@<directory id>`.
    pub fn of_consumer(consumer: &str) -> Result<Self, UnknownModel> {
        read_models::model(consumer).parse()
    }
}

impl FromStr for ReadModel {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        Self::ALL
            .into_iter()
            .find(|model| model.name() == name)
            .ok_or_else(|| UnknownModel(name.to_owned()))
    }
}

impl fmt::Display for ReadModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_its_name_and_by_its_consumer() {
        for model in ReadModel::ALL {
            assert_eq!(model.name().parse(), Ok(model));
        }
        assert_eq!(ReadModel::of_consumer("search@0198"), Ok(ReadModel::Search));
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let error = "invoices".parse::<ReadModel>().unwrap_err().to_string();
        assert!(
            error.starts_with("there is no read model `invoices`, only "),
            "{error}"
        );
        for model in ReadModel::ALL {
            assert!(error.contains(model.name()), "{error}");
        }
    }

    #[test]
    fn every_model_in_tables_is_followed() {
        let followed = ReadModel::ALL.into_iter().filter_map(ReadModel::tables);
        let mut followed: Vec<&str> = followed.map(|model| model.name).collect();
        let mut at_rest: Vec<&str> = read_models::IN_TABLES.iter().map(|it| it.name).collect();
        followed.sort_unstable();
        at_rest.sort_unstable();
        assert_eq!(followed, at_rest);
    }
}
