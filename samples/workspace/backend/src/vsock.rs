// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! vsock packets: a header of 44 bytes, of which those from 24 on are the length of the data.

const HEADER: usize = 44;
const LENGTH: usize = 24;

/// Returns the data, without what stands behind it.
pub(crate) fn payload(packet: &[u8]) -> Option<&[u8]> {
    let (header, data) = packet.split_at_checked(HEADER)?;
    let length = header[LENGTH..LENGTH + 4].try_into().ok()?;
    data.get(..u32::from_le_bytes(length).try_into().ok()?)
}

#[cfg(test)]
pub(crate) fn packet(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; HEADER];
    packet[LENGTH] = payload.len().try_into().unwrap();
    packet.extend_from_slice(payload);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_ends_where_the_header_says() {
        let mut padded = packet(b"data");
        padded.push(0);
        assert_eq!(payload(&padded), Some(&b"data"[..]));
    }

    #[test]
    fn data_must_be_there() {
        let short = packet(b"data");
        assert_eq!(payload(&short[..HEADER + 3]), None);
        assert_eq!(payload(&short[..HEADER - 1]), None);
    }
}
