//! Which read models there are.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use read_models::search::DirectoryId;
use read_models::{products, search, stock, users};

/// A read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadModel {
    Products,
    Stock,
    Users,
    Search,
}

/// A name that is no read model's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no read model `{0}`, only products, stock, users and search")]
pub struct UnknownModel(String);

impl ReadModel {
    pub const ALL: [Self; 4] = [Self::Products, Self::Stock, Self::Users, Self::Search];

    /// The name that operators use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Products => products::NAME,
            Self::Stock => stock::NAME,
            Self::Users => users::NAME,
            Self::Search => search::NAME,
        }
    }

    /// The shape that this program gives new generations.
    pub const fn shape(self) -> &'static str {
        match self {
            Self::Products => products::SHAPE,
            Self::Stock => stock::SHAPE,
            Self::Users => users::SHAPE,
            Self::Search => search::SHAPE,
        }
    }

    /// The name in `projections`, `checkpoints`, `dead_letters` and `leases`. An index belongs to a data
    /// directory and carries its id; a directory that has none gets one.
    pub fn consumer(self, data_directory: &Path) -> io::Result<String> {
        match self {
            Self::Products | Self::Stock | Self::Users => Ok(self.name().to_owned()),
            Self::Search => Ok(DirectoryId::ensure(data_directory)?.consumer()),
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
        let error = "orders".parse::<ReadModel>().unwrap_err().to_string();
        for part in ["orders", "products", "stock", "users", "search"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
