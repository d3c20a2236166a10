"""SSH: who may log in and how, with which algorithms, and for how long a client may keep the server busy."""

from __future__ import annotations

from deploys.components.hardening.controls import Control, Item, Want, line, mode, sshd

# As ssh-audit's built-in policies have them ("Hardened Debian 12" version 3, "Hardened Debian 13" version 1), in their
# order. What OpenSSH of Debian 12 (9.2) does not know is not asked of it.
CIPHERS = "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-gcm@openssh.com,aes128-ctr"
MACS = {
    "12": "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,umac-128-etm@openssh.com",
    "13": "hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com",
}
CURVES = "curve25519-sha256,curve25519-sha256@libssh.org"
KEX = {
    "12": f"sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,{CURVES},diffie-hellman-group16-sha512,"
    "diffie-hellman-group18-sha512,diffie-hellman-group-exchange-sha256",
    "13": "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com",
}
HOST_KEYS = (
    "ssh-ed25519,ssh-ed25519-cert-v01@openssh.com,sk-ssh-ed25519@openssh.com,sk-ssh-ed25519-cert-v01@openssh.com,"
    "rsa-sha2-512,rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256,rsa-sha2-256-cert-v01@openssh.com"
)
OWN_RSA = "/etc/ssh/portcullis_host_rsa_key"
AUDIT = "https://github.com/jtesta/ssh-audit, built-in policies for Debian 12 and 13"
MANUAL = "man sshd_config"


def key_exchanges(want: Want) -> str:
    """Debian 13's policy has only those that withstand quantum computers; pyinfra's SSH (paramiko 4) has none."""
    extra = f",{CURVES}" if want.release != "12" and want.s.ssh_key_exchange == "compatible" else ""
    return KEX.get(want.release, KEX["13"]) + extra


def host_keys(want: Want) -> list[Item]:
    """ed25519 as it is, and RSA: the host's own key, or with ``strict`` one of 4096 bits beside it.

    A client that knows the host by its RSA key alone sees another one then; those that know ed25519 see no change.
    """
    rsa = OWN_RSA if want.strict else "/etc/ssh/ssh_host_rsa_key"
    made: list[Item] = [{"kind": "hostkey", "path": OWN_RSA, "bits": 4096}] if want.strict else []
    keys = ("/etc/ssh/ssh_host_ed25519_key", rsa)
    return [
        *made,
        *line("ssh", *(f"HostKey {key}" for key in keys)),
        {"kind": "sshd", "option": "hostkey", "value": [*keys]},
    ]


def root(want: Want) -> list[Item]:
    # sshd says it in the words that it had first.
    said = {"prohibit-password": "without-password"}
    value = "prohibit-password" if want.s.ssh_root == "key" else "no"
    return sshd("PermitRootLogin", value, asked=(said.get(value, value),))


def allowed(want: Want) -> list[Item]:
    found: list[Item] = []
    for option, names in (("AllowUsers", want.s.ssh_users), ("AllowGroups", want.s.ssh_groups)):
        if names:
            found += sshd(option, *names, asked=tuple(names))
    return found


def ssh(
    name: str, what: str, why: str, *options: str, level: str = "baseline", cis: str = "", devsec: str = ""
) -> Control:
    """A control that is no more than options of sshd, the same on every host."""
    pairs = [option.split(" ", 1) for option in options]
    return Control(
        id=f"ssh-{name}",
        area="ssh",
        level="strict" if level == "strict" else "baseline",
        what=what,
        why=why,
        source=MANUAL,
        items=lambda want: [item for option, value in pairs for item in sshd(option, value)],
        cis=cis,
        devsec=devsec,
    )


CONTROLS = (
    Control(
        "ssh-key-exchange", "ssh", "baseline", "keys are exchanged in ways that nothing is known against",
        "What is recorded today is read in ten years, when its key exchange is broken by then.", AUDIT,
        lambda want: sshd("KexAlgorithms", key_exchanges(want)), "5.1.12", "sshd-02",
    ),
    Control(
        "ssh-ciphers", "ssh", "baseline", "connections are encrypted with ChaCha20 or AES in GCM or CTR mode",
        "CBC modes leak plain text to whoever can change packets.", AUDIT,
        lambda want: sshd("Ciphers", CIPHERS), "5.1.6", "sshd-01",
    ),
    Control(
        "ssh-macs", "ssh", "baseline", "packets are authenticated as encrypted, with SHA-2 or UMAC of 128 bits",
        "A code over the plain text lets an attacker try the decryption.", AUDIT,
        lambda want: sshd("MACs", MACS.get(want.release, MACS["13"])), "5.1.15", "sshd-03",
    ),
    Control(
        "ssh-host-keys", "ssh", "baseline", "the host proves itself with ed25519 or RSA, not with the curves of NIST",
        "ECDSA gives its key away when one random number is bad.", AUDIT, host_keys, "5.1.2", "sshd-14",
    ),
    Control(
        "ssh-signatures", "ssh", "baseline", "signatures are ed25519, or RSA with SHA-2",
        "SHA-1 is broken: two texts with one signature can be made.", AUDIT,
        lambda want: sshd("HostKeyAlgorithms", HOST_KEYS),
    ),
    Control(
        "ssh-moduli", "ssh", "baseline", "groups for Diffie-Hellman have 3071 bits or more",
        "A state can precompute the small ones, once for everybody.", "https://weakdh.org; ssh-audit's guides",
        lambda want: [{"kind": "moduli", "path": "/etc/ssh/moduli", "bits": 3071, "service": "ssh"}], "", "sshd-48",
    ),
    Control(
        "ssh-root", "ssh", "baseline", "root logs in with a key, or not at all",
        "It is the one name that every attacker knows.", MANUAL, root, "5.1.20", "sshd-06",
    ),
    Control(
        "ssh-allowed", "ssh", "baseline", "only the users and groups named in the settings log in",
        "Accounts of services and people who left have no business there.", MANUAL, allowed, "5.1.4", "",
    ),
    ssh(
        "passwords", "nobody logs in with a password",
        "Passwords are guessed day and night on every address of the internet.",
        "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitEmptyPasswords no",
        "PubkeyAuthentication yes", cis="5.1.19", devsec="sshd-27, sshd-28, sshd-29, sshd-22",
    ),
    ssh(
        "host-based", "no other host vouches for a user", "A host that is taken over would open this one too.",
        "HostbasedAuthentication no", "IgnoreRhosts yes", "IgnoreUserKnownHosts yes",
        cis="5.1.10, 5.1.11", devsec="sshd-23, sshd-24, sshd-25",
    ),
    ssh(
        "kerberos", "Kerberos and GSSAPI are off", "Nothing here uses them, and each is code that anybody can reach.",
        "KerberosAuthentication no", "GSSAPIAuthentication no", cis="5.1.9", devsec="sshd-30, sshd-33",
    ),
    ssh(
        "environment", "users bring no variables of their own", "LD_PRELOAD would get around a forced command.",
        "PermitUserEnvironment no", cis="5.1.21", devsec="sshd-17",
    ),
    ssh(
        "modes", "keys that others could have written are not believed",
        "Whoever writes to a user's keys is that user.", "StrictModes yes", devsec="sshd-11",
    ),
    ssh(
        "limits", "who has not logged in after 30 s, or three attempts, is cut off",
        "Connections that wait for a password keep others out.",
        "LoginGraceTime 30", "MaxAuthTries 3", "MaxStartups 10:30:60", cis="5.1.13, 5.1.16, 5.1.18",
        devsec="sshd-18, sshd-19, sshd-21",
    ),
    ssh(
        "sessions", "a connection carries ten sessions at most",
        "A stolen connection is worth less. On a busy host sshd ends them late: four were too few for pyinfra.",
        "MaxSessions 10", cis="5.1.17", devsec="sshd-20",
    ),
    Control(
        "ssh-idle", "ssh", "baseline", "a client that does not answer is cut off",
        "A dead connection keeps a session open for whoever takes over its address.", MANUAL,
        lambda want: [
            *sshd("ClientAliveInterval", str(want.s.ssh_idle_seconds)), *sshd("ClientAliveCountMax", "2"),
            *sshd("TCPKeepAlive", "no"),
        ], "5.1.7", "sshd-35, sshd-36, sshd-37",
    ),
    ssh(
        "log", "every login is noted with the fingerprint of its key", "It says which of a user's keys was it.",
        "LogLevel VERBOSE", cis="5.1.14", devsec="sshd-13",
    ),
    ssh(
        "forwarding", "nothing is forwarded but ports that a client opens on its own side",
        "A forwarded agent, display or tunnel reaches the client's machine or this host's networks.",
        "AllowTcpForwarding local", "AllowAgentForwarding no", "AllowStreamLocalForwarding no", "X11Forwarding no",
        "PermitTunnel no", "GatewayPorts no", devsec="sshd-38, sshd-40, sshd-41, sshd-42",
    ),
    ssh(
        "compression", "packets are not compressed", "Their length tells of what is in them.", "Compression no",
    ),
    Control(
        "ssh-version", "ssh", "baseline", "the greeting does not name the Debian package",
        "It says which holes have not been closed yet.", MANUAL,
        # sshd of Debian 12 does not tell what it makes of it.
        lambda want: sshd("DebianBanner", "no") if want.release != "12" else line("ssh", "DebianBanner no"),
        "", "sshd-47",
    ),
    Control(
        "ssh-files", "ssh", "baseline", "root alone reads and writes the server's settings and keys",
        "Who reads a host key can be this host.", MANUAL,
        lambda want: [
            mode("/etc/ssh/sshd_config", "0600", "root:root"),
            *(mode(f"/etc/ssh/ssh_host_{kind}_key", "0600", "root:root") for kind in ("ed25519", "rsa", "ecdsa")),
            *(mode(folder, "0755", "root:root") for folder in ("/etc/ssh", "/etc/ssh/sshd_config.d")),
        ], "5.1.1, 5.1.2, 5.1.3", "sshd-04, sshd-05",
    ),
)  # fmt: skip
