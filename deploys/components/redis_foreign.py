"""Whether a host has a Redis that is somebody else's, asked before anything changes; what is not sure counts as yes."""

from __future__ import annotations

from deploys.lib.component import Probe

OWN = "Managed by Portcullis"
CONF = "/etc/redis/redis.conf"
DATA = "/var/lib/redis"
ADVICE = "its clients would be locked out. Use another host, or empty it and move its configuration away"


def refusal(port: int) -> Probe:
    """Silent and true when the configuration is ours, or there is nothing but an empty Redis as the package made it.

    A run that was cut off leaves such an empty one behind. Only an answer that shows no keys in any database counts as
    empty: a Redis with a password says NOAUTH, one that loads its data LOADING, one that hangs nothing.
    """
    return Probe(
        "somebody else's Redis",
        f"grep -qs '{OWN}' {CONF} && exit 0; "
        f'no() {{ echo "the host has a Redis that Portcullis did not set up, $1; {ADVICE}"; exit 1; }}; '
        "if command -v redis-cli >/dev/null; then "
        f"said=$(timeout 5 redis-cli -p {port} info keyspace 2>&1 </dev/null | tr -d '\\r'); "
        'case $said in "# Keyspace") exit 0 ;; *"Connection refused"*) ;; '
        '"") no "which does not answer" ;; '
        '"# Keyspace"*) no "with $(echo "$said" | sed -n "s/^db[0-9]*:keys=\\([0-9]*\\),.*/\\1/p" | '
        'awk "{ n += \\$1 } END { print n }") keys" ;; '
        '*) no "which answers: $(echo "$said" | tail -n 1 | cut -c 1-80)" ;; esac; fi; '
        # It does not run, or at another port. Half-way through its installation dpkg knows no checksum yet.
        f"if [ -e {CONF} ]; then "
        "case $(dpkg-query --show --showformat='${db:Status-Status}' redis-server 2>/dev/null) in "
        "unpacked | half-configured | half-installed | triggers-*) ;; "
        f"*) dpkg-query --show --showformat='${{Conffiles}}\\n' redis-server 2>/dev/null | "
        f'grep -q " {CONF} $(md5sum <{CONF} | cut -c 1-32)" || no "whose {CONF} is not the package\'s" ;; esac; fi; '
        f'for file in {DATA}/*.rdb {DATA}/*.aof {DATA}/appendonlydir/*; do [ -s "$file" ] || continue; '
        'redis-check-rdb "$file" 2>/dev/null | grep -q " 0 keys read$" || no "with data in $file"; done',
    )
