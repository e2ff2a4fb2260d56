//! nginx as a plain proxy that keeps its upstream connections.

use std::path::PathBuf;
use std::process::Command;

use super::{Launch, Stage};
use crate::Outcome;
use crate::process::free_address;

pub(super) fn launch(program: PathBuf, stage: &Stage) -> Outcome<Launch> {
    let (http1, http2, upstream) = (free_address()?, free_address()?, stage.upstream);
    let dir = tempfile::tempdir_in(&stage.dir)?.keep();
    let config = dir.join("nginx.conf");
    let here = dir.display();
    let text = format!(
        "\
daemon off;
worker_processes 2;
pid {here}/pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {here}/body;
  proxy_temp_path {here}/proxy;
  fastcgi_temp_path {here}/fastcgi;
  uwsgi_temp_path {here}/uwsgi;
  scgi_temp_path {here}/scgi;
  client_body_buffer_size 64k;
  large_client_header_buffers 8 64k;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  upstream store {{
    server {upstream};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  upstream store_http2 {{
    server {upstream};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {http1};
    location / {{
      proxy_pass http://store;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_max_temp_file_size 0;
    }}
  }}
  server {{
    listen {http2} http2;
    location / {{ grpc_pass grpc://store_http2; }}
  }}
}}
"
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-p"]).arg(&dir);
    command.arg("-c").arg(config);
    Ok(Launch {
        command,
        http1,
        grpc: Some(http2),
    })
}
