"""Certificates for attackers, made with openssl."""

import base64
import subprocess
from pathlib import Path

from world import DEADLINE


def openssl(*arguments, input=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=input, capture_output=True, text=True,
                          timeout=DEADLINE)
    if done.returncode:
        raise AssertionError(f"openssl {' '.join(map(str, arguments))}:\n{done.stderr}")
    return done.stdout


def authority(folder, name="Rogue CA"):
    """A CA of somebody else; gives (certificate, key)."""
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "ca.key", folder / "ca.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", certificate, "-days", "30", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    return certificate, key


def issuing(state):
    """The issuing certificate and key of a real Authority, as its operator could read them."""
    active = min((Path(state) / "authority/issuing").iterdir(), key=lambda folder: (folder / "cert.pem").stat().st_mtime)
    return active / "cert.pem", active / "key.pem"


def leaf(folder, name, ca, sans, eku="clientAuth", days=2, ended=False, extra=""):
    """A certificate under `ca` = (certificate, key), with `extra` lines of extensions; gives (chain, key)."""
    folder.mkdir(parents=True, exist_ok=True)
    key, request, chain, extensions = (folder / f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", request, "-subj", f"/CN={name}")
    text = ("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    if eku:
        text += f"extendedKeyUsage={eku}\n"
    if sans:
        text += f"subjectAltName={','.join(sans)}\n"
    extensions.write_text(text + extra)
    life = ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"] if ended else ["-days", str(days)]
    if ended:  # `openssl x509` of 3.0 cannot set dates; `openssl ca` can
        signed_by_ca(folder, request, chain, extensions, ca)
    else:
        openssl("x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial",
                "-CAserial", folder / f"{name}.srl", *life, "-extfile", extensions, "-out", chain)
    chain.write_text(chain.read_text() + Path(ca[0]).read_text())
    return chain, key


def signed_by_ca(folder, request, chain, extensions, ca):
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("1000\n")
    config = folder / "ca.cnf"
    config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\nserial={folder}/serial\n"
                      f"new_certs_dir={folder}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
    openssl("ca", "-batch", "-config", config, "-in", request, "-cert", ca[0], "-keyfile", ca[1], "-out", chain,
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-extfile", extensions, "-notext")


def doubled(chain, ca, dotted):
    """The leaf of `chain` with its extension `dotted` twice, signed again by `ca`: openssl makes none such."""
    end = "-----END CERTIFICATE-----\n"
    leaf, above = chain.read_text().split(end, 1)
    whole = base64.b64decode("".join(leaf.split("-----")[-1].split()))
    body, algorithm, _ = elements(elements(whole)[0][1])
    *before, last = elements(body[1])
    [listed] = elements(last[1])
    extensions = elements(listed[1])
    [twice] = [one for one in extensions if elements(one[1])[0][1] == oid(dotted)]
    listed = encoded(0x30, b"".join(encoded(*one) for one in [*extensions, twice]))
    body = encoded(0x30, b"".join(encoded(*one) for one in before) + encoded(last[0], listed))
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(ca[1])], input=body, capture_output=True,
                               timeout=DEADLINE, check=True).stdout
    whole = encoded(0x30, body + encoded(*algorithm) + encoded(3, b"\0" + signature))
    text = base64.encodebytes(whole).decode()
    chain.write_text(f"-----BEGIN CERTIFICATE-----\n{text}{end}{above}")


def elements(der):
    """The elements of DER, each as its tag and content."""
    found = []
    while der:
        tag, size, head = der[0], der[1], 2
        if size >= 0x80:
            head = 2 + (size & 0x7f)
            size = int.from_bytes(der[2:head], "big")
        found.append((tag, der[head:head + size]))
        der = der[head + size:]
    return found


def encoded(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid(dotted):
    """The content of an object identifier."""
    first, second, *arcs = map(int, dotted.split("."))
    content = bytearray([40 * first + second])
    for arc in arcs:
        septets = [arc & 0x7f]
        while arc := arc >> 7:
            septets.append(0x80 | arc & 0x7f)
        content += bytes(reversed(septets))
    return bytes(content)
