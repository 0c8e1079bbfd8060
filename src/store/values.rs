//! Conversions between domain values and columns. A text that does not parse is an error, since the
//! file must have been damaged or edited.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::Earlier;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::id::EventId;
use crate::domain::ordering_key::OrderingKey;
use crate::domain::polling::poll_failure::FailureKind;
use crate::domain::time::timestamp::Timestamp;

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_millis()))
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_millis)
    }
}

/// Conversions of values that are stored as text, by the methods that write and read it.
macro_rules! text_column {
    ($text:ident, $parse:expr, $($name:ty),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.$text()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str().and_then($parse)
            }
        }
    )*};
}

text_column!(name, |text| Ok(Self::from_name(text)), Status);
text_column!(as_str, |text| Ok(Self::from_text(text)), OrderingKey);
text_column!(
    name,
    |text| Self::from_name(text).ok_or(FromSqlError::InvalidType),
    FailureKind,
    Earlier
);
text_column!(
    as_str,
    |text| Self::parse(text).map_err(FromSqlError::other),
    AccountName,
    AvatarId,
    ChannelName,
    DeliveryId,
    EventId
);
