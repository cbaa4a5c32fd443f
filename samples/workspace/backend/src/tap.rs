// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! Ethernet frames: two addresses of six bytes, a type of two bytes, data.

const HEADER: usize = 14;

/// Returns the whole frame, as a tap device takes it.
pub(crate) fn payload(packet: &[u8]) -> Option<&[u8]> {
    (packet.len() >= HEADER).then_some(packet)
}

#[cfg(test)]
pub(crate) fn packet(payload: &[u8]) -> Vec<u8> {
    [&[0xff; HEADER], payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_a_header() {
        assert_eq!(payload(&[0; HEADER - 1]), None);
        assert_eq!(payload(&[0; HEADER]), Some(&[0; HEADER][..]));
    }
}
