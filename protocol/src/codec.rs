//! Messages as bytes: postcard in frames of a bounded length, behind a preface that tells strangers apart.
//!
//! A connection begins with eight bytes in each direction: `WINDROW` and the version of the protocol. The caller's come
//! first; who answers a stranger says nothing. After that each message is a frame: four bytes of length, big-endian, and
//! its postcard encoding.

use crate::control::PROTOCOL_VERSION;
use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use std::{io, pin::Pin};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::length_delimited::LengthDelimitedCodec;

/// The longest message of control. Lists come in pages that stay well below.
pub const CONTROL_FRAME_MAX: usize = 16 << 20;

/// The length of the preface.
pub const PREFACE_BYTES: usize = 8;

const MAGIC: [u8; 7] = *b"WINDROW";

/// The codec of all control messages. An item must fill its frame: bytes left over are an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

impl<T: Serialize> tokio_serde::Serializer<T> for Postcard {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, item: &T) -> io::Result<Bytes> {
        let bytes = postcard::to_allocvec(item).map_err(io::Error::other)?;
        if bytes.len() > CONTROL_FRAME_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a message of {} bytes; the most is {CONTROL_FRAME_MAX}", bytes.len()),
            ));
        }
        Ok(bytes.into())
    }
}

impl<T: DeserializeOwned> tokio_serde::Deserializer<T> for Postcard {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<T> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let (item, rest) = postcard::take_from_bytes(bytes)
            .map_err(|err| invalid(format!("not a message of this protocol: {err}")))?;
        match rest.len() {
            0 => Ok(item),
            more => Err(invalid(format!("{more} bytes too many in a message"))),
        }
    }
}

/// Frames of at most [`CONTROL_FRAME_MAX`] bytes.
pub fn frames() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(CONTROL_FRAME_MAX).new_codec()
}

/// What the other side's preface says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The same version of the protocol.
    Same,
    /// Another version of it.
    Version(u32),
    /// Something else than Windrow.
    Stranger,
    /// It closed the connection without a word, as a proxy does when nobody listens behind it.
    Gone,
    /// It is of Windrow, and wants TLS.
    Secured,
}

/// In the place of a version: TLS is wanted.
const SECURED: u8 = 0;

/// This process' preface.
pub fn preface() -> [u8; PREFACE_BYTES] {
    let mut bytes = [0; PREFACE_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    bytes[MAGIC.len()] = PROTOCOL_VERSION as u8;
    bytes
}

/// Who sent a preface.
pub fn peer_of(preface: [u8; PREFACE_BYTES]) -> Peer {
    let version = u32::from(preface[MAGIC.len()]);
    if preface[..MAGIC.len()] != MAGIC {
        Peer::Stranger
    } else if preface[MAGIC.len()] == SECURED {
        Peer::Secured
    } else if version != PROTOCOL_VERSION & 0xff {
        Peer::Version(version)
    } else {
        Peer::Same
    }
}

/// The caller's side of the preface: sends ours, reads theirs. What ends before it is a stranger.
///
/// # Errors
/// Those of `io`, other than its end. Not cancel safe: a connection on which this was cancelled is of no more use.
pub async fn greet<I: AsyncRead + AsyncWrite + Unpin>(io: &mut I) -> io::Result<Peer> {
    io.write_all(&preface()).await?;
    io.flush().await?;
    read_preface(io).await
}

/// The other side: reads the caller's preface, and answers unless it is a stranger's.
///
/// # Errors
/// Those of `io`, other than its end. Not cancel safe: a connection on which this was cancelled is of no more use.
pub async fn answer_greeting<I: AsyncRead + AsyncWrite + Unpin>(io: &mut I) -> io::Result<Peer> {
    let peer = read_preface(io).await?;
    if matches!(peer, Peer::Same | Peer::Version(_)) {
        io.write_all(&preface()).await?;
        io.flush().await?;
    }
    Ok(peer)
}

/// As [`answer_greeting`], of one that wants TLS and was greeted without: says so.
///
/// # Errors
/// As there.
pub(crate) async fn answer_unsecured<I>(io: &mut I) -> io::Result<Peer>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let peer = read_preface(io).await?;
    if matches!(peer, Peer::Same | Peer::Version(_)) {
        let mut answer = preface();
        answer[MAGIC.len()] = SECURED;
        io.write_all(&answer).await?;
        io.flush().await?;
    }
    Ok(peer)
}

/// Reads a preface; gives up at the first byte that is none of it.
async fn read_preface<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<Peer> {
    let mut bytes = [0; PREFACE_BYTES];
    let mut have = 0;
    while have < PREFACE_BYTES {
        let read = match io.read(&mut bytes[have..]).await {
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => 0,
            read => read?,
        };
        if read == 0 {
            return Ok(if have == 0 { Peer::Gone } else { Peer::Stranger });
        }
        have += read;
        let known = have.min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Ok(Peer::Stranger);
        }
    }
    Ok(peer_of(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_serde::{Deserializer, Serializer};

    #[test]
    fn an_item_fills_its_frame() {
        let mut codec = Postcard;
        let bytes = Pin::new(&mut codec).serialize(&(7_u32, "seven".to_owned())).unwrap();
        let mut frame = BytesMut::from(&bytes[..]);
        let back: (u32, String) = Pin::new(&mut codec).deserialize(&frame).unwrap();
        assert_eq!(back, (7, "seven".to_owned()));
        frame.extend_from_slice(&[0]);
        let more: io::Result<(u32, String)> = Pin::new(&mut codec).deserialize(&frame);
        assert!(more.unwrap_err().to_string().contains("1 bytes too many"));
    }

    #[test]
    fn a_message_that_no_frame_holds_is_an_error() {
        let mut codec = Postcard;
        assert!(Pin::new(&mut codec).serialize(&vec![0_u8; CONTROL_FRAME_MAX]).is_err());
    }

    #[test]
    fn a_preface_says_who_is_there() {
        assert_eq!(peer_of(preface()), Peer::Same);
        let mut other = preface();
        other[7] = 99;
        assert_eq!(peer_of(other), Peer::Version(99));
        other[7] = SECURED;
        assert_eq!(peer_of(other), Peer::Secured);
        assert_eq!(peer_of(*b"HTTP/1.1"), Peer::Stranger);
    }

    #[tokio::test]
    async fn who_hangs_up_is_gone_or_a_stranger() {
        for (said, is) in [(&b""[..], Peer::Gone), (b"WIND", Peer::Stranger)] {
            let (mut near, mut far) = tokio::io::duplex(64);
            far.write_all(said).await.unwrap();
            drop(far);
            assert_eq!(answer_greeting(&mut near).await.unwrap(), is);
        }
    }
}
