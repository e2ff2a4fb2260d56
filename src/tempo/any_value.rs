//! Values of attributes in protobuf (`opentelemetry.proto.common.v1.AnyValue`).

use crate::tenancy::AttributeValue;
use crate::wire::{Malformed, Message, Value};

/// The value, if it is a plain string, boolean or number. `None` also for a message with any other
/// field, or with none, and for a string with the replacement character: in JSON it may stand for
/// bytes that are not UTF-8, and both forms of a trace are judged alike.
pub(super) fn plain_value(value: Message<'_>) -> Result<Option<AttributeValue<'_>>, Malformed> {
    const STRING_VALUE: u32 = 1;
    const BOOL_VALUE: u32 = 2;
    const INT_VALUE: u32 = 3;
    const DOUBLE_VALUE: u32 = 4;
    let mut fields = value.fields();
    let Some(field) = fields.next().transpose()? else {
        return Ok(None);
    };
    if fields.next().transpose()?.is_some() {
        return Ok(None);
    }
    Ok(match (field.number, field.value) {
        (STRING_VALUE, Value::Bytes(text)) => {
            let text = std::str::from_utf8(text.bytes).ok();
            let text = text.filter(|text| !text.contains(char::REPLACEMENT_CHARACTER));
            text.map(|text| AttributeValue::Text(text.into()))
        }
        (BOOL_VALUE, Value::Varint(value @ (0 | 1))) => Some(AttributeValue::Bool(value == 1)),
        (INT_VALUE, Value::Varint(value)) => Some(AttributeValue::Int(value.cast_signed())),
        (DOUBLE_VALUE, Value::Fixed) => {
            let bits = field.fixed64().ok();
            bits.map(|bits| AttributeValue::Float(f64::from_bits(bits)))
        }
        _ => None,
    })
}
