"""Accounts and PAM: what new accounts get, how often a password may be wrong, and what a new one has to be like."""

from __future__ import annotations

from deploys.components.hardening.controls import Control, Item, Want, entry, line, package, whole

LOGIN = "/etc/login.defs"
MANUAL, PAM = "man login.defs", "man pam_faillock, pam_pwquality, pam_pwhistory"
CONFIGS = "/usr/share/pam-configs"
# Two profiles, because pam-auth-update puts one part in front of the password's question, and the other behind it.
FAILLOCK = (
    whole(
        f"{CONFIGS}/portcullis-faillock", "0644",
        "Name: Portcullis: count wrong passwords", "Default: yes", "Priority: 0", "Auth-Type: Primary", "Auth:",
        "\t[default=die]\tpam_faillock.so authfail",
    ),
    whole(
        f"{CONFIGS}/portcullis-faillock-first", "0644",
        "Name: Portcullis: refuse accounts with too many wrong passwords", "Default: yes", "Priority: 1024",
        "Auth-Type: Primary", "Auth:", "\trequisite\tpam_faillock.so preauth", "Account-Type: Primary", "Account:",
        "\trequired\tpam_faillock.so",
    ),
)  # fmt: skip
SU_LINE = "auth       required pam_wheel.so use_uid group=sudo"
HISTORY = whole(
    f"{CONFIGS}/portcullis-pwhistory", "0644",
    "Name: Portcullis: no password a second time", "Default: yes", "Priority: 1024", "Password-Type: Primary",
    "Password:", "\trequisite\tpam_pwhistory.so remember=24 enforce_for_root try_first_pass use_authtok",
)  # fmt: skip


def profiles(want: Want) -> Item:
    """One item for all that hold here: PAM has one set of files."""
    waived = [waiver.control for waiver in want.s.waivers]
    names, modules = list[str](), list[str]()
    if "pam-wrong-passwords" not in waived:
        names, modules = ["portcullis-faillock", "portcullis-faillock-first"], ["pam_faillock.so"]
    if want.strict and "pam-history" not in waived:
        names, modules = [*names, "portcullis-pwhistory"], [*modules, "pam_pwhistory.so"]
    # After the files that they are.
    return {"kind": "pam", "profiles": names, "modules": modules, "stage": 2, "when": {"programs": ["pam-auth-update"]}}


def wrong_passwords(want: Want) -> list[Item]:
    conf = "/etc/security/faillock.conf"
    limits = {"deny": 5, "unlock_time": 900, "fail_interval": 900}
    return [*FAILLOCK, *(entry(conf, name, value, " = ") for name, value in limits.items()), profiles(want)]


def quality(want: Want) -> list[Item]:
    lines = ("minlen = 14", "difok = 2", "maxrepeat = 3", "dictcheck = 1")
    root = ("enforce_for_root",) if want.strict else ()
    return [package("libpam-pwquality"), *line("pwquality", *lines, *root)]


def closed_too(umask: str) -> str:
    """A shell's line that opens nothing which was closed before it: a umask is bits that are closed."""
    return f'umask "$(printf %04o $(($(umask) | 0{umask})))"'


def idle(seconds: int) -> list[str]:
    """A shell's lines that leave a shorter time as it is. One that is read-only ends some shells when it is set."""
    return [
        'case "$(readonly -p)" in *TMOUT*) ;; *)',
        f'    if [ "${{TMOUT:-0}}" -lt 1 ] || [ "$TMOUT" -gt {seconds} ]; then TMOUT={seconds}; fi',
        "    readonly TMOUT; export TMOUT ;;",
        "esac",
    ]


CONTROLS = (
    Control(
        "accounts-umask", "accounts", "baseline", "new files are closed to others",
        "Others on the host read what nobody meant to show them.", MANUAL,
        lambda want: [entry(LOGIN, "UMASK", want.s.umask), *line("profile", closed_too(want.s.umask))],
        "5.4.3.3", "os-05",
    ),
    Control(
        "accounts-homes", "accounts", "baseline", "new homes are closed to others", "Keys and histories are in them.",
        MANUAL, lambda want: [entry(LOGIN, "HOME_MODE", "0700"), entry("/etc/adduser.conf", "DIR_MODE", "0700", "=")],
    ),
    Control(
        "accounts-changes", "accounts", "baseline", "passwords of new accounts are changed once a day at most",
        "Whoever changes it many times in a row is back at the old one, past every history.", MANUAL,
        lambda want: [entry(LOGIN, "PASS_MIN_DAYS", 1)], "5.4.1.2", "os-05",
    ),
    Control(
        "accounts-ageing", "accounts", "strict", "passwords of new accounts end after a year",
        "One that was stolen is good for ever otherwise. Accounts that are there keep what they have.", MANUAL,
        lambda want: [
            entry(LOGIN, "PASS_MAX_DAYS", 365), entry(LOGIN, "PASS_WARN_AGE", 7),
            entry("/etc/default/useradd", "INACTIVE", 45, "="),
        ], "5.4.1.1, 5.4.1.3, 5.4.1.5", "os-05",
    ),
    Control(
        "accounts-digests", "accounts", "baseline", "digests of new passwords take long to compute",
        "Who steals them tries fewer passwords in a second.", MANUAL,
        lambda want: [
            entry(LOGIN, "ENCRYPT_METHOD", "YESCRYPT"), entry(LOGIN, "YESCRYPT_COST_FACTOR", 7),
            entry(LOGIN, "SHA_CRYPT_MIN_ROUNDS", 65536), entry(LOGIN, "SHA_CRYPT_MAX_ROUNDS", 65536),
        ], "5.4.1.4",
    ),
    Control(
        "accounts-attempts", "accounts", "baseline", "a login on the console is asked three times, for a minute",
        "Whoever tries all day has to begin anew.", MANUAL,
        lambda want: [entry(LOGIN, "LOGIN_RETRIES", 3), entry(LOGIN, "LOGIN_TIMEOUT", 60)], "", "os-05",
    ),
    Control(
        "accounts-idle", "accounts", "baseline", "a shell that nobody types into ends",
        "A terminal that somebody has left is theirs who comes by.", "man bash, TMOUT",
        lambda want: line("profile", *idle(want.s.shell_idle_seconds)), "5.4.3.2",
    ),
    Control(
        "pam-wrong-passwords", "pam", "baseline", "after five wrong passwords an account rests for 15 minutes",
        "A password is guessed by trying. It never keeps out root, or a key.", PAM, wrong_passwords,
        "5.3.2.2, 5.3.3.1.1, 5.3.3.1.2",
    ),
    Control(
        "pam-quality", "pam", "baseline", "new passwords have 14 characters and are in no dictionary",
        "Short ones are found from their digest in hours.", PAM, quality,
        "5.3.1.3, 5.3.2.3, 5.3.3.2.1, 5.3.3.2.2, 5.3.3.2.4, 5.3.3.2.6",
    ),
    Control(
        "pam-history", "pam", "strict", "a password is not taken a second time", "An old one may be known.", PAM,
        lambda want: [HISTORY, profiles(want)], "5.3.2.4, 5.3.3.3.1, 5.3.3.3.2, 5.3.3.3.3",
    ),
    Control(
        "pam-su", "pam", "strict", "only members of the group sudo become somebody else with su",
        "It asks for root's password as often as one likes.", "man pam_wheel",
        lambda want: [
            {
                "kind": "insert", "path": "/etc/pam.d/su", "line": SU_LINE, "after": "auth +sufficient +pam_rootok",
            }
        ], "5.2.7",
    ),
)  # fmt: skip
