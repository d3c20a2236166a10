"""The kernel's settings: what the network may make it do, and what its users may see and try.

No key here is one that a service sets for itself, such as Redis' vm.overcommit_memory; and none that only a reboot
takes back, such as kernel.modules_disabled or kernel.kexec_load_disabled. Docker's net.ipv4.ip_forward is left to
Docker, and namespaces of unprivileged users to the machine: containers and sandboxes are made of them.
"""

from __future__ import annotations

from deploys.components.hardening.controls import Control, Item, Want, sysctl

IP = "https://docs.kernel.org/networking/ip-sysctl.html"
KERNEL = "https://docs.kernel.org/admin-guide/sysctl/kernel.html"
FS = "https://docs.kernel.org/admin-guide/sysctl/fs.html"


def reverse_path(want: Want) -> list[Item]:
    """Loose, so that answers may go another way than questions came; ``strict`` wants one way for both."""
    value = 1 if want.strict else 2
    return sysctl(net__ipv4__conf__all__rp_filter=value, net__ipv4__conf__default__rp_filter=value)


CONTROLS = (
    Control(
        "net-redirects", "sysctl", "baseline", "no router is believed that says another one is better",
        "Anybody on the same network could lead traffic through itself.", IP,
        lambda want: sysctl(
            net__ipv4__conf__all__accept_redirects=0, net__ipv4__conf__default__accept_redirects=0,
            net__ipv4__conf__all__secure_redirects=0, net__ipv4__conf__default__secure_redirects=0,
            net__ipv6__conf__all__accept_redirects=0, net__ipv6__conf__default__accept_redirects=0,
        ), "3.3.5, 3.3.6", "sysctl-14, sysctl-15, sysctl-20",
    ),
    Control(
        "net-send-redirects", "sysctl", "baseline", "the host tells nobody of better routers",
        "It is none.", IP,
        lambda want: sysctl(net__ipv4__conf__all__send_redirects=0, net__ipv4__conf__default__send_redirects=0),
        "3.3.2", "sysctl-16",
    ),
    Control(
        "net-source-route", "sysctl", "baseline", "packets do not choose their own way",
        "They would get around the rules of the network.", IP,
        lambda want: sysctl(
            net__ipv4__conf__all__accept_source_route=0, net__ipv4__conf__default__accept_source_route=0,
            net__ipv6__conf__all__accept_source_route=0, net__ipv6__conf__default__accept_source_route=0,
        ), "3.3.8", "sysctl-13",
    ),
    Control(
        "net-reverse-path", "sysctl", "baseline", "packets whose sender cannot be reached are dropped",
        "Their sender is a lie.", IP, reverse_path, "3.3.7", "sysctl-02",
    ),
    Control(
        "net-martians", "sysctl", "baseline", "packets with impossible addresses are noted",
        "They are a mistake in the network, or somebody who tries.", IP,
        lambda want: sysctl(net__ipv4__conf__all__log_martians=1, net__ipv4__conf__default__log_martians=1),
        "3.3.9", "sysctl-17",
    ),
    Control(
        "net-icmp", "sysctl", "baseline", "pings to everybody, and false answers, are ignored",
        "A ping to a broadcast address is a way to flood somebody else.", IP,
        lambda want: sysctl(net__ipv4__icmp_echo_ignore_broadcasts=1, net__ipv4__icmp_ignore_bogus_error_responses=1),
        "3.3.3, 3.3.4", "sysctl-03, sysctl-04",
    ),
    Control(
        "net-tcp", "sysctl", "baseline", "half-open connections do not fill the host up, and closed ones stay closed",
        "A flood of first packets is the cheapest attack there is.", IP,
        lambda want: sysctl(net__ipv4__tcp_syncookies=1, net__ipv4__tcp_rfc1337=1), "3.3.10", "sysctl-10, sysctl-11",
    ),
    Control(
        "net-router-advertisements", "sysctl", "strict", "routers that announce themselves are not believed",
        "Anybody on the same network can. A host that gets its IPv6 address that way would lose it.", IP,
        lambda want: sysctl(net__ipv6__conf__all__accept_ra=0, net__ipv6__conf__default__accept_ra=0),
        "3.3.11", "sysctl-25",
    ),
    Control(
        "kernel-addresses", "sysctl", "baseline", "where the kernel lies in memory is told to nobody",
        "An attack on the kernel needs to know it.", KERNEL, lambda want: sysctl(kernel__kptr_restrict=2),
    ),
    Control(
        "kernel-messages", "sysctl", "baseline", "the kernel's messages are for root",
        "They have addresses and names in them.", KERNEL, lambda want: sysctl(kernel__dmesg_restrict=1),
    ),
    Control(
        "kernel-random-layout", "sysctl", "baseline", "programs lie where nobody can foresee",
        "An attack that knows an address is one step from running.", KERNEL,
        lambda want: sysctl(kernel__randomize_va_space=2), "1.5.1", "sysctl-32",
    ),
    Control(
        "kernel-ptrace", "sysctl", "baseline", "a program looks only into those that it has started",
        "One program that is taken over would read the keys of all others of its user.",
        "https://docs.kernel.org/admin-guide/LSM/Yama.html", lambda want: sysctl(kernel__yama__ptrace_scope=1), "1.5.2",
    ),
    Control(
        "kernel-bpf", "sysctl", "baseline", "BPF programs are for root, and their compiler hides constants",
        "Its verifier has let through too much, too often.", KERNEL,
        # 2 can be taken back; 1 lasts until the machine restarts.
        lambda want: sysctl(kernel__unprivileged_bpf_disabled=2, net__core__bpf_jit_harden=2),
    ),
    Control(
        "kernel-perf", "sysctl", "baseline", "counters of the processor are for root",
        "They measure what others compute. 3 is a value of Debian's kernel.", KERNEL,
        lambda want: sysctl(kernel__perf_event_paranoid=3),
    ),
    Control(
        "kernel-sysrq", "sysctl", "baseline", "no keys on the console get past every login",
        "Whoever reaches a keyboard could end programs or restart the machine.", KERNEL,
        lambda want: sysctl(kernel__sysrq=0), "", "sysctl-30",
    ),
    Control(
        "kernel-line-disciplines", "sysctl", "baseline", "terminals do not load modules for users",
        "Old code that nobody has looked at for years gets into the kernel that way.", KERNEL,
        lambda want: sysctl(dev__tty__ldisc_autoload=0),
    ),
    Control(
        "kernel-core-names", "sysctl", "baseline", "each dump of memory has a file of its own",
        "One name for all lets a user choose what root writes over.", KERNEL,
        lambda want: sysctl(kernel__core_uses_pid=1),
    ),
    Control(
        "kernel-links", "sysctl", "baseline", "links, pipes and files of others in /tmp are not followed or written",
        "Programs of root that write there have been led astray for thirty years.", FS,
        lambda want: sysctl(
            fs__protected_hardlinks=1, fs__protected_symlinks=1, fs__protected_fifos=2, fs__protected_regular=2
        ), "", "sysctl-34",
    ),
)  # fmt: skip
