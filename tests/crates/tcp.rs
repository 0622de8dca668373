//! A tokio server and its clients over loopback: frames of many sizes, turned round by the server, checked by the client.

use crate::carry::{Asked, sized};
use crate::random::Random;
use std::io;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp::OwnedWriteHalf};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const CLIENTS: usize = 128;
const AT_ONCE: usize = 48;
const MAX_FRAME: usize = 48 << 10;

pub(crate) fn run() -> Asked {
    let frames = sized(150);
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_io().build().expect("a runtime");
    let (asked, served) = runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("the port");
        let server = tokio::spawn(serve(listener));

        let (mut clients, mut asked) = (JoinSet::new(), 0);
        for seed in 0..CLIENTS {
            if clients.len() == AT_ONCE {
                asked += clients.join_next().await.expect("one is running").expect("a client does not panic");
            }
            clients.spawn(async move {
                let stream = TcpStream::connect(address).await.expect("the server listens");
                ask(stream, seed as u64, frames).await.expect("the server answers")
            });
        }
        asked += clients.join_all().await.into_iter().sum::<u64>();
        (asked, server.await.expect("the server does not panic").expect("the server reads and writes"))
    });
    assert_eq!(asked, served, "bytes sent and bytes served");
    // A frame and its answer on each side, at the least.
    Asked { objects: (CLIENTS * frames * 2) as u64, bytes: 2 * asked }
}

/// Serves every client until it hangs up; returns how many bytes came in frames.
async fn serve(listener: TcpListener) -> io::Result<u64> {
    let mut connections = JoinSet::new();
    for _ in 0..CLIENTS {
        let (stream, _) = listener.accept().await?;
        connections.spawn(async move {
            let (mut from, mut to) = stream.into_split();
            let mut bytes = 0;
            while let Some(frame) = read_frame(&mut from).await? {
                bytes += frame.len() as u64;
                write_frame(&mut to, turned(&frame)).await?;
            }
            io::Result::Ok(bytes)
        });
    }
    connections.join_all().await.into_iter().sum()
}

/// Sends `frames` frames, several on the way at once, and checks each answer; returns how many bytes they had.
async fn ask(stream: TcpStream, seed: u64, frames: usize) -> io::Result<u64> {
    let (mut from, mut to) = stream.into_split();
    let sender = tokio::spawn(async move {
        let mut random = Random::new(seed);
        for _ in 0..frames {
            write_frame(&mut to, frame(&mut random)).await?;
        }
        to.shutdown().await
    });
    let (mut random, mut bytes) = (Random::new(seed), 0);
    for _ in 0..frames {
        let sent = frame(&mut random);
        let answer = read_frame(&mut from).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        assert!(answer == turned(&sent), "an answer of {} bytes to {} is wrong", answer.len(), sent.len());
        bytes += sent.len() as u64;
    }
    assert!(read_frame(&mut from).await?.is_none(), "more answers than questions");
    sender.await.expect("the sender does not panic")?;
    Ok(bytes)
}

/// Mostly small, now and then large.
fn frame(random: &mut Random) -> Vec<u8> {
    let most = if random.below(16) == 0 { MAX_FRAME } else { 1024 };
    let (len, first) = (1 + random.below(most), random.next());
    (0..len as u64).map(|i| first.wrapping_mul(i) as u8).collect()
}

fn turned(frame: &[u8]) -> Vec<u8> {
    frame.iter().rev().map(|b| b.wrapping_add(1)).collect()
}

/// The next frame, or nothing at the end of the stream.
async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let len = match from.read_u32().await {
        Ok(len) => len as usize,
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    };
    assert!(len <= MAX_FRAME, "a frame of {len} bytes");
    let mut frame = vec![0; len];
    from.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: Vec<u8>) -> io::Result<()> {
    let mut message = Vec::with_capacity(4 + frame.len());
    message.extend((frame.len() as u32).to_be_bytes());
    message.extend(frame);
    to.write_all(&message).await
}
