//! The client against servers that behave, that do not, and that send anything at all.

use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use proptest::prelude::*;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::framing::{Framing, Next};
use super::head::{Head, HeadEnd};
use super::{Answer, Connector, Endpoint, Failed, Post, tls};

const PATIENCE: Duration = Duration::from_secs(10);

fn connector() -> Connector {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Connector::new(false, tls().unwrap(), PATIENCE)
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::of(&Url::parse(&format!("http://{address}/v1/chat?x=1")).unwrap()).unwrap()
}

async fn post(endpoint: &Endpoint, connector: &Connector, body: &'static [u8]) -> Result<Answer, Failed> {
    let headers = [("authorization", "Bearer secret".to_owned())];
    let post = Post { endpoint, headers: &headers, body: Bytes::from_static(body) };
    post.send(connector, ready(Ok::<(), ()>(())), (PATIENCE, Instant::now() + PATIENCE)).await
}

async fn whole(mut answer: Answer) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(piece) = answer.body.next().await? {
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Reads one request with a body of `length` bytes.
async fn request(peer: &mut TcpStream, length: usize) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length) {
            return text;
        }
        if peer.read_buf(&mut read).await.unwrap() == 0 {
            return text;
        }
    }
}

/// Answers each connection with the next of `answers`, one after another on the same connection; counts connections.
async fn serve(answers: Vec<(&'static [u8], bool)>) -> (SocketAddr, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut connections, mut answers) = (0, answers.into_iter().peekable());
        while answers.peek().is_some() {
            let (mut peer, _) = listener.accept().await.unwrap();
            connections += 1;
            while let Some((answer, goes_on)) = answers.next() {
                if request(&mut peer, 2).await.is_empty() {
                    break;
                }
                peer.write_all(answer).await.unwrap();
                if !goes_on || answers.peek().is_none() {
                    break;
                }
            }
        }
        connections
    });
    (address, serving)
}

#[tokio::test]
async fn a_request_is_one_that_any_server_takes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let heard = request(&mut peer, 2).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        heard
    });
    let answer = post(&endpoint(address), &connector(), b"{}").await.unwrap();
    assert_eq!(whole(answer).await.unwrap(), b"ok");
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("POST /v1/chat?x=1 HTTP/1.1\r\n"), "{heard}");
    for line in [
        format!("host: {address}"),
        "authorization: Bearer secret".to_owned(),
        "content-length: 2".to_owned(),
        "content-type: application/json".to_owned(),
        "accept-encoding: identity".to_owned(),
    ] {
        assert!(heard.contains(&format!("\r\n{line}\r\n")), "{line}: {heard}");
    }
    assert!(heard.ends_with("\r\n\r\n{}"), "{heard}");
}

#[tokio::test]
async fn a_connection_serves_again_however_its_answer_ends() {
    let (address, connections) = serve(vec![
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nx: y\r\n\r\n", true),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", true),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
    ])
    .await;
    let (endpoint, connector) = (endpoint(address), connector());
    for expected in ["ok", "ok", "", "ok"] {
        assert_eq!(whole(post(&endpoint, &connector, b"{}").await.unwrap()).await.unwrap(), expected.as_bytes());
    }
    assert_eq!(connections.await.unwrap(), 1);
}

#[tokio::test]
async fn a_connection_that_is_used_again_and_again_leaves_nothing_behind() {
    let (address, connections) = serve(vec![(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true); 50]).await;
    let (endpoint, connector) = (endpoint(address), connector());
    for _ in 0..50 {
        whole(post(&endpoint, &connector, b"{}").await.unwrap()).await.unwrap();
    }
    assert_eq!(connections.await.unwrap(), 1);
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks <= 1, "{tasks} tasks look after one connection");
}

#[tokio::test]
async fn a_connection_that_cannot_serve_again_is_not_asked_to() {
    let (address, connections) = serve(vec![
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", false),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        (b"HTTP/1.1 200 OK\r\n\r\nok", false),
        // More than it said: what follows belongs to nobody.
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
    ])
    .await;
    let (endpoint, connector) = (endpoint(address), connector());
    for _ in 0..5 {
        assert_eq!(whole(post(&endpoint, &connector, b"{}").await.unwrap()).await.unwrap(), b"ok");
        // What it does next has come when it is asked again.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(connections.await.unwrap(), 5);
}

#[tokio::test]
async fn an_answer_of_which_only_the_last_mark_was_not_read_keeps_its_connection() {
    let (address, connections) = serve(vec![
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
    ])
    .await;
    let (endpoint, connector) = (endpoint(address), connector());
    let mut first = post(&endpoint, &connector, b"{}").await.unwrap();
    assert_eq!(first.body.next().await.unwrap().unwrap(), "ok");
    drop(first);
    whole(post(&endpoint, &connector, b"{}").await.unwrap()).await.unwrap();
    assert_eq!(connections.await.unwrap(), 1);
}

#[tokio::test]
async fn a_refusal_that_comes_before_the_request_was_read_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        tokio::time::sleep(PATIENCE).await;
    });
    // More than the buffers between take.
    let large: &'static [u8] = Box::leak(vec![b' '; 64 << 20].into_boxed_slice());
    let answer = post(&endpoint(address), &connector(), large).await.unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(whole(answer).await.unwrap(), b"no");
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    for bad in [
        &b""[..],
        b"no http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nok\n0\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let (address, _serving) = serve(vec![(bad, false)]).await;
        let answered = async { whole(post(&endpoint(address), &connector(), b"{}").await?).await };
        let failed = answered.await.map(|body| String::from_utf8(body).unwrap());
        assert!(matches!(failed, Err(Failed::Broke(_))), "{}: {failed:?}", String::from_utf8_lossy(bad));
    }
}

#[tokio::test]
async fn nobody_there_is_known_not_to_be_billed() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(matches!(post(&endpoint(gone), &connector(), b"{}").await, Err(Failed::Unreachable(_))));
}

#[test]
fn it_goes_only_where_it_can() {
    let goes = |url: &str| Endpoint::of(&Url::parse(url).unwrap());
    for url in ["ftp://host/", "http://user:word@host/", "unix:/run/x"] {
        assert!(goes(url).is_none(), "{url}");
    }
    let endpoint = goes("https://[::1]:8443/v1").unwrap();
    assert!(endpoint.server.is_some());
    assert_eq!(endpoint.uri.to_string(), "https://[::1]:8443/");
    for key in ["a\r\nx: y", "a\nb", "\0"] {
        assert!(endpoint.head(&[("authorization", key.to_owned())], 0).is_none(), "{key:?}");
    }
}

fn read_head(bytes: &[u8]) -> Option<Head> {
    let length = HeadEnd::default().find(bytes)?;
    Head::read(&bytes[..length]).ok()
}

/// All that comes of a body, as far as it can be read.
fn body(head: &Head, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), ()> {
    let (mut framing, mut read, mut whole) = (Framing::of(head).map_err(drop)?, BytesMut::new(), Vec::new());
    for piece in pieces {
        read.extend_from_slice(piece);
        loop {
            match framing.next(&mut read).map_err(drop)? {
                Next::Piece(piece) => whole.extend_from_slice(&piece),
                Next::More => break,
                Next::End => return Ok((whole, true)),
            }
        }
    }
    Ok((whole, false))
}

proptest! {
    #[test]
    fn a_body_in_chunks_is_the_same_however_it_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        extension in "(;[a-z]{0,5}(=[a-z]{0,5})?)?",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let head = read_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n").unwrap();
        let mut coded = Vec::new();
        for chunk in &chunks {
            coded.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(b"\r\n");
        }
        coded.extend_from_slice(b"0\r\ntrailer: x\r\n\r\n");
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(coded.len() + 1)).collect();
        cuts.extend([0, coded.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &coded[w[0]..w[1]]).collect();
        prop_assert_eq!(body(&head, &pieces), Ok((chunks.concat(), true)));
    }

    #[test]
    fn no_bytes_make_it_panic_or_invent_a_body(
        start in prop::sample::select(vec![
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        ]),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\r\n:;0123456789abcdef ".to_vec())], 0..80),
    ) {
        let bytes = [start.as_bytes(), &rest].concat();
        let mut ends = HeadEnd::default();
        let by_steps = (0..=bytes.len()).find_map(|length| ends.find(&bytes[..length]));
        prop_assert_eq!(by_steps, HeadEnd::default().find(&bytes), "each byte is looked at once, and no end is missed");
        if let Some(length) = by_steps && let Ok(head) = Head::read(&bytes[..length]) {
            let said = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
            if let Ok((whole, ended)) = body(&head, &[&bytes[length..]]) {
                prop_assert!(whole.len() <= bytes.len() - length);
                if let (Some(said), true) = (said.filter(|_| !head.headers.contains_key(header::TRANSFER_ENCODING)), ended) {
                    prop_assert!(whole.len() == said || head.status == 204 || head.status == 304);
                }
            }
        }
    }
}
