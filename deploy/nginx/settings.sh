# shellcheck shell=sh
# What the environment says: checked, and written as nginx reads it. Part of `start`.

: "${LISTEN:=8765}" "${CERTIFICATE:=}" "${KEY:=}"
: "${CONNECTION_RATE:=100}" "${CONNECTION_BURST:=1000}" "${CONNECTIONS_PER_ADDRESS:=10000}"
: "${READ_TIMEOUT:=45s}" "${STOP_TIMEOUT:=5}"
: "${WORKERS:=auto}" "${WORKER_CONNECTIONS:=}" "${WORKER_SHUTDOWN_TIMEOUT:=4h}"
: "${NGINX_BINARY:=nginx}" "${NGINX_DIR:=/run/fanwire-nginx}"

# A slot takes 0.4 KiB in each worker from the start, used or not.
MOST_WORKER_CONNECTIONS=32768
# Log, listener, epoll, the channel to the master.
OTHER_FILES_OF_A_WORKER=64

# whole NAME VALUE LEAST
whole() {
    case $2 in
    '' | *[!0-9]* | ??????????*) fail "$1=$2 is not a whole number" ;;
    esac
    [ "$2" -ge "$3" ] || fail "$1=$2 is less than $3"
}

# duration NAME VALUE
duration() {
    unit=${2##*[0-9]}
    number=${2%"$unit"}
    case $unit in
    '' | ms | s | m | h | d) ;;
    *) number= ;;
    esac
    case $number in
    '' | *[!0-9]*) fail "$1=$2 is not a whole number with ms, s, m, h or d" ;;
    esac
}

# readable NAME VALUE
readable() {
    if [ ! -r "$2" ] || [ -d "$2" ]; then fail "$1=$2 is not a file that can be read"; fi
}

listen_address() {
    number=${LISTEN##*:}
    case $LISTEN in *[!]0-9A-Fa-f.:*[]*) number= ;; esac
    case $number in '' | *[!0-9]* | ??????*) number=0 ;; esac
    if [ "$number" -lt 1 ] || [ "$number" -gt 65535 ]; then
        fail "LISTEN=$LISTEN is neither a port from 1 to 65535 nor address:port"
    fi
}

# Checks all of it, and makes paths outlive a change of directory.
check_settings() {
    listen_address
    whole INTERVAL "$INTERVAL" 1
    whole CONNECTION_RATE "$CONNECTION_RATE" 1
    whole CONNECTION_BURST "$CONNECTION_BURST" 0
    whole CONNECTIONS_PER_ADDRESS "$CONNECTIONS_PER_ADDRESS" 1
    whole STOP_TIMEOUT "$STOP_TIMEOUT" 0
    [ "$WORKERS" = auto ] || whole WORKERS "$WORKERS" 1
    [ -z "$WORKER_CONNECTIONS" ] || whole WORKER_CONNECTIONS "$WORKER_CONNECTIONS" 16
    duration READ_TIMEOUT "$READ_TIMEOUT"
    duration WORKER_SHUTDOWN_TIMEOUT "$WORKER_SHUTDOWN_TIMEOUT"
    if [ -n "$CERTIFICATE$KEY" ]; then
        readable CERTIFICATE "$CERTIFICATE"
        readable KEY "$KEY"
        CERTIFICATE=$(absolute "$CERTIFICATE")
        KEY=$(absolute "$KEY")
    fi
    [ -z "$NODES_FILE" ] || NODES_FILE=$(absolute "$NODES_FILE")
    NGINX_DIR=$(absolute "$NGINX_DIR")
    command -v "$NGINX_BINARY" >/dev/null || fail "NGINX_BINARY=$NGINX_BINARY is not a program"
}

absolute() {
    case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$(pwd)" "$1" ;;
    esac
}

main_conf() {
    printf 'worker_processes %s;\n' "$WORKERS"
    # A reload leaves WebSockets on the old workers until they end by themselves, or this time has passed.
    printf 'worker_shutdown_timeout %s;\n' "$WORKER_SHUTDOWN_TIMEOUT"
    # Only root has a choice.
    [ "$(id -u)" -ne 0 ] || printf 'user nobody %s;\n' "$(id -gn nobody)"
}

# shellcheck disable=SC3045 # Every shell that serves as /bin/sh has ulimit -n.
events_conf() {
    printf 'worker_connections %s;\n' "${WORKER_CONNECTIONS:-$(connections_for "$(ulimit -n)")}"
}

# connections_for FILES
connections_for() {
    if [ "$1" = unlimited ] || [ "$(($1 - OTHER_FILES_OF_A_WORKER))" -gt "$MOST_WORKER_CONNECTIONS" ]; then
        echo "$MOST_WORKER_CONNECTIONS"
    else
        echo "$(($1 - OTHER_FILES_OF_A_WORKER))"
    fi
}

# shellcheck disable=SC2016 # The variables are nginx's.
http_conf() {
    printf 'limit_conn_zone $binary_remote_addr zone=addresses:10m;\n'
    printf 'limit_req_zone $binary_remote_addr zone=rates:10m rate=%sr/s;\n' "$CONNECTION_RATE"
}

# Delayed rather than refused: behind one address there may be an office whose clients all come back at once, and one
# that is let in a few seconds later does not knock again in between.
limits_conf() {
    burst=" burst=$CONNECTION_BURST"
    [ "$CONNECTION_BURST" -gt 0 ] || burst=
    printf 'limit_req zone=rates%s;\nlimit_req_status 429;\n' "$burst"
    printf 'limit_conn addresses %s;\nlimit_conn_status 429;\n' "$CONNECTIONS_PER_ADDRESS"
}

timeouts_conf() { printf 'proxy_read_timeout %s;\nproxy_send_timeout %s;\n' "$READ_TIMEOUT" "$READ_TIMEOUT"; }

# The backlog takes a storm of clients that come back; the kernel bounds it by net.core.somaxconn.
server_conf() {
    if [ -n "$CERTIFICATE" ]; then
        printf 'listen %s ssl backlog=4096;\n' "$LISTEN"
        tls_conf
    else
        printf 'listen %s backlog=4096;\n' "$LISTEN"
    fi
}

# HTTP/1.1 only: a WebSocket inside HTTP/2 (RFC 8441) is nothing that nginx could pass on.
tls_conf() {
    printf 'ssl_certificate "%s";\nssl_certificate_key "%s";\n' "$CERTIFICATE" "$KEY"
    printf 'ssl_protocols TLSv1.2 TLSv1.3;\nssl_ciphers HIGH:!aNULL:!MD5;\nssl_prefer_server_ciphers off;\n'
    printf 'ssl_session_cache shared:tls:10m;\nssl_session_timeout 1d;\nssl_session_tickets off;\n'
    # Messages are short; the usual 16 KiB a connection would be kept for nothing.
    printf 'ssl_buffer_size 4k;\n'
}
