//! nginx as a bare reverse proxy: one worker, connections kept alive on both sides, no log.

use std::net::{Ipv4Addr, SocketAddr};

use steward_events::BoxError;

use super::{Peer, Start};
use crate::load::{Call, Line};
use crate::part::Part;
use crate::system::free_port;

pub(super) async fn start(Start { program, folder, upstream }: &Start<'_>) -> Result<Peer, BoxError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    std::fs::write(folder.join("nginx.conf"), configuration(address, upstream.address))?;
    let (program, folder_text) = (program.to_string_lossy(), folder.to_string_lossy());
    let words = ["-p", &folder_text, "-e", "stderr", "-c", "nginx.conf"];
    let mut part = Part::start_program(folder, "nginx", &program, &words)?;
    part.wait(async |_: &mut Part| Ok(Line::connect(address).await.ok().map(drop))).await?;
    let call = |stream| Call::chat(address, "none", "mock", stream);
    Ok(Peer { part, calls: [call(false), call(true)] })
}

/// One process, which keeps nothing outside of its folder.
fn configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {what};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n{temporary}  access_log off;\n  keepalive_requests 1000000000;\n  \
         upstream mock {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}\n  server {{\n    \
         listen {listen};\n    location / {{\n      proxy_pass http://mock;\n      proxy_http_version 1.1;\n      \
         proxy_set_header Connection \"\";\n      proxy_buffering off;\n    }}\n  }}\n}}\n"
    )
}
