# shellcheck shell=bash
# Shared by the scripts in tools/: messages in the user's language, and tools/deps.txt as a table.
# Sourced with $root set to the top of the checkout.

case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in
    es*) spanish=1 ;;
    *) spanish= ;;
esac

# say ENGLISH SPANISH: one line of progress on stderr, so that stdout stays for results.
say() { printf '%s: %s\n' "${0##*/}" "$(pick "$1" "$2")" >&2; }

# pick ENGLISH SPANISH: prints the text of the user's language.
pick() { if [ -n "$spanish" ]; then printf '%s' "$2"; else printf '%s' "$1"; fi; }

# die ENGLISH SPANISH: the last message of a failed run.
die() {
    say "$1" "$2"
    exit 1
}

# deps KIND...: prints "package check minimum" for each row of these kinds.
deps() {
    local kind package check minimum wanted=" $* "
    while read -r kind package check minimum _; do
        case "$kind" in '' | '#'*) continue ;; esac
        case "$wanted" in *" $kind "*) printf '%s %s %s\n' "$package" "$check" "$minimum" ;; esac
    done <"$root/tools/deps.txt"
}

# packages KIND...: prints the package names of these kinds on one line.
packages() { deps "$@" | cut -d' ' -f1 | tr '\n' ' '; }
