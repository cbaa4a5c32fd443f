// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! Bytes as they are.

pub(crate) fn payload(packet: &[u8]) -> Option<&[u8]> {
    Some(packet)
}

#[cfg(test)]
pub(crate) fn packet(payload: &[u8]) -> Vec<u8> {
    payload.to_vec()
}
