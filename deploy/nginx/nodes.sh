# shellcheck shell=sh
# The list of nodes: where it comes from, how nginx gets it, and when it is loaded again. Part of `start`.

: "${NODES:=node:8765}" "${NODES_FILE:=}" "${INTERVAL:=2}" "${RESOLVER:=}"

# nginx 1.27.3 is the first whose upstream follows names by itself.
FOLLOWS_NAMES_SINCE=1027003

# The nodes as they are written, one a line; fails when one is not host:port.
written_nodes() {
    if [ -n "$NODES_FILE" ]; then
        written=$(sed 's/#.*//' "$NODES_FILE") || return 1
    else
        written=$NODES
    fi
    for node in $written; do
        well_written "$node" || return 1
        printf '%s\n' "$node"
    done
}

# well_written NODE
well_written() {
    port=${1##*:}
    case $1 in *[!A-Za-z0-9._:-]* | *:*:* | :*) port= ;; esac
    case $port in
    '' | "$1" | *[!0-9]* | ??????*)
        say "$1 is not host:port"
        return 1
        ;;
    esac
}

# is_address HOST
is_address() { case $1 in *[!0-9.]*) return 1 ;; esac; }

# addresses NODE: a line for each; none when the name is not known.
addresses() {
    if is_address "${1%:*}"; then
        printf '%s\n' "$1"
    else
        getent ahostsv4 "${1%:*}" | awk -v port="${1##*:}" '$2 == "STREAM" { print $1 ":" port }'
    fi
}

# No node is ever marked as failed. nginx forgets a failure when a later connection to the node *ends* well; until then
# it lets a single one through every fail_timeout. WebSockets don't end, so after a rolling restart, in which every node
# has refused somebody once, all of them would count as failed for hours. Without the mark a node that is gone costs
# each new client one refused connection, until the list is right again.
server() { printf 'server %s max_fails=0;\n' "$1"; }

# The list for an nginx that takes addresses only.
servers_by_address() {
    nodes=$(written_nodes) || return 1
    for node in $nodes; do addresses "$node"; done | sort -u | while read -r address; do server "$address"; done
}

# The list for an nginx that follows names by itself.
servers_by_name() {
    nodes=$(written_nodes) || return 1
    printf 'resolver %s valid=%ss ipv6=off;\n' "${RESOLVER:-$(name_servers)}" "$INTERVAL"
    for node in $nodes; do
        if is_address "${node%:*}"; then server "$node"; else server "$node resolve"; fi
    done
}

name_servers() {
    awk '$1 == "nameserver" { printf "%s%s", gap, ($2 ~ /:/ ? "[" $2 "]" : $2); gap = " " }' /etc/resolv.conf
}

# follows_names VERSION: whether nginx itself keeps up with the nodes.
follows_names() {
    number=$(printf '%s\n' "$1" | awk -F. '{ printf "%d", $1 * 1000000 + $2 * 1000 + $3 }')
    [ -z "$NODES_FILE" ] && [ "$number" -ge "$FOLLOWS_NAMES_SINCE" ]
}

nginx_version() { "$NGINX_BINARY" -v 2>&1 | sed -n 's#.*/\([0-9.]*\).*#\1#p'; }

# print_servers VERSION
print_servers() {
    if follows_names "$1"; then servers_by_name; else servers_by_address; fi
}

# Writes the first list. servers.loaded is what nginx has loaded; without that file nobody needs to look.
first_servers() {
    rm -f servers.loaded unknown
    print_servers "$(nginx_version)" >servers.conf || fail "NODES=$NODES, NODES_FILE=$NODES_FILE: no list of nodes"
    follows_names "$(nginx_version)" && return
    if [ ! -s servers.conf ]; then
        say "no node is known yet"
        : >unknown
        # An upstream must have a server. This one is never asked: clients get 502 until a node is known.
        printf 'server 127.0.0.1:1 down;\n' >servers.conf
    fi
    cp servers.conf servers.loaded
}

# Loads the list again if it has changed. Whatever fails, the list that works stays.
look() {
    servers_by_address >servers.next || return 0
    if [ -s servers.next ]; then
        rm -f unknown
        cmp -s servers.next servers.loaded || load
    elif [ ! -e unknown ]; then
        : >unknown
        say "no node is known, what was known stays: $(loaded)"
    fi
}

load() {
    cp servers.next servers.conf
    if run_nginx -t -q; then
        reload_nginx
        mv servers.next servers.loaded
        say "the nodes are now: $(loaded)"
    else
        cp servers.loaded servers.conf
        say "nginx refused the new list, the last one stays: $(loaded)"
    fi
}

loaded() { sed 's/^server \([^ ;]*\).*/\1/' servers.loaded | tr '\n' ' '; }
