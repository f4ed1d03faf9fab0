"""What runs on routers and servers: port mapping, TLS in front of a WebSocket, a CONNECT proxy."""

import datetime
import ipaddress
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.lab.namespaces import LabError
from tests.lab.topology import Lab
from tests.lab.usernet import ROOT

PATIENCE = 10.0
HOOKS = """
table inet upnp {
  chain miniupnpd {
  }
  chain forw {
    type filter hook forward priority -1; policy accept;
    jump miniupnpd
  }
}
table inet upnpnat {
  chain mpre {
  }
  chain mpost {
  }
  chain pre {
    type nat hook prerouting priority -101; policy accept;
    jump mpre
  }
  chain post {
    type nat hook postrouting priority 99; policy accept;
    jump mpost
  }
}
add rule ip filter forw ct status dnat accept
"""
"""Places for miniupnpd's own rules. What it maps, the router must let through."""


def port_mapping(lab: Lab, name: str) -> None:
    """UPnP, NAT-PMP and PCP on the router, for the network behind it."""
    node, folder = lab.nodes[name], lab.home(name)
    settings = {
        "ext_ifname": "wan",
        "ext_ip": node.address,
        "listening_ip": "lan",
        "port": "5555",
        "enable_natpmp": "yes",
        "enable_upnp": "yes",
        "secure_mode": "yes",
        "upnp_table_name": "upnp",
        "upnp_nat_table_name": "upnpnat",
        "upnp_forward_chain": "miniupnpd",
        "upnp_nat_chain": "mpre",
        "upnp_nat_postrouting_chain": "mpost",
        "lease_file": f"{folder}/leases",
        "uuid": "80dd8ab7-b0ae-4875-bae6-18883ed17b5c",
    }
    rules = [
        f"allow 1024-65535 {node.network}.0/24 1024-65535",
        "deny 0-65535 0.0.0.0/0 0-65535",
    ]
    lines = [f"{what}={value}" for what, value in settings.items()]
    config = folder / "miniupnpd.conf"
    config.write_text("\n".join([*lines, *rules, ""]))
    node.space.nft(HOOKS)
    argv = ["miniupnpd", "-d", "-f", str(config), "-P", str(folder / "miniupnpd.pid")]
    program = _start(lab, name, argv, folder / "miniupnpd.log")
    # NAT-PMP's question for the outer address: whoever answers it has started.
    _await(lab, name, program, folder / "miniupnpd.log", lambda: _natpmp(f"{node.network}.1"))


def _natpmp(gateway: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.settimeout(0.05)
        door.connect((gateway, 5351))
        door.send(bytes(2))
        door.recv(64)


class Proxy(NamedTuple):
    """A proxy that listens."""

    url: str
    authority: Path | None = None
    """The certificate that clients must believe in: SSL_CERT_FILE."""


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {listen} ssl;
    listen [::]:{listen} ssl;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    location / {{
      proxy_pass http://127.0.0.1:{to};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_buffering off;
      proxy_read_timeout 120s;
    }}
  }}
}}
"""


def tls_proxy(lab: Lab, name: str, listen: int = 443, to: int = 4480) -> Proxy:
    """nginx at the node's addresses, in front of a WebSocket server on its loopback."""
    node, folder = lab.nodes[name], lab.home(name) / f"nginx-{listen}"
    folder.mkdir()
    places = [place for place in (node.address, *node.also, node.address6) if place]
    key, certificate = self_signed(places)
    (folder / "key.pem").write_bytes(key)
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, listen=listen, to=to))
    log = folder / "error.log"
    argv = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "user root;"]
    program = _start(lab, name, argv, log)
    _await(lab, name, program, log, lambda: _connect(node.address, listen))
    port = "" if listen == 443 else f":{listen}"
    return Proxy(f"wss://{node.address}{port}", folder / "certificate.pem")


def self_signed(addresses: list[str]) -> tuple[bytes, bytes]:
    """A key and a certificate of its own for these addresses, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "securecp laboratory")])
    places = [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = (
        builder.not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret, certificate.public_bytes(serialization.Encoding.PEM)


def connect_proxy(lab: Lab, name: str, port: int = 3128) -> Proxy:
    """An HTTP proxy that knows CONNECT only; on a router, for the network behind it."""
    node = lab.nodes[name]
    address = f"{node.network}.1" if node.network else node.address
    log = lab.home(name) / f"proxy-{port}.log"
    argv = [sys.executable, "-m", "tests.lab.connectproxy", address, str(port)]
    program = _start(lab, name, argv, log)
    _await(lab, name, program, log, lambda: _connect(address, port))
    return Proxy(f"http://{address}:{port}")


def _connect(address: str, port: int) -> None:
    socket.create_connection((address, port), 0.5).close()


def _start(lab: Lab, name: str, argv: list[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return lab.popen(
            name, argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def _await(
    lab: Lab,
    name: str,
    program: "subprocess.Popen[bytes]",
    log: Path,
    reached: Callable[[], None],
) -> None:
    """Until the node reaches what has been started."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(OSError), lab.inside(name):
            return reached()
        with suppress(subprocess.TimeoutExpired):
            program.wait(0.02)
            break
    raise LabError(f"{program.args!r} does not answer:\n{log.read_text(errors='replace')[-2000:]}")
