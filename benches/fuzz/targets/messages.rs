//! Messages of control and of the data plane, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windrow_protocol::control::{JobSubmission, Poll, PollAnswer, WorkerHello};
use windrow_protocol::data::{BlockAnswer, BlockHead, BlockRequest};
use windrow_protocol::executor::{FromExecutor, ToExecutor};

fuzz_target!(|data: &[u8]| {
    let _ = postcard::from_bytes::<JobSubmission>(data);
    let _ = postcard::from_bytes::<Poll>(data);
    let _ = postcard::from_bytes::<PollAnswer>(data);
    let _ = postcard::from_bytes::<WorkerHello>(data);
    let _ = postcard::from_bytes::<BlockRequest>(data);
    let _ = postcard::from_bytes::<BlockAnswer>(data);
    let _ = postcard::from_bytes::<ToExecutor>(data);
    let _ = postcard::from_bytes::<FromExecutor>(data);
    if let Some(head) = data.first_chunk::<{ BlockHead::BYTES }>() {
        let _ = BlockHead::decode(*head).encode();
    }
});
