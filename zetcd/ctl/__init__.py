"""zetcdctl: etcdctl's commands, flags, variables and output formats over the native protocol.

How it works
    `main` parses the global flags (from the command line or ``ETCDCTL_*``) and imports the module of one
    command only, so that a command answers a quarter of a second after its process starts. Each module
    holds a family of commands; `cli.Cli` gives them a client and a printer. A printer (`simple`,
    `fields`, `json_output`, `table`) turns one response into bytes: `keys` and `values` go out as they
    are in simple, Go-quoted in fields, in base64 in json.

    Differences from etcdctl: endpoints are those of the native protocol (default tcp://127.0.0.1:2382,
    the scheme may be left out), errors of a command line exit with etcdctl's codes but keep to one line,
    and json has the members' ``nativeURLs``.

Worked example
    $ zetcdctl put name Ada
    OK
    $ zetcdctl get name --write-out=fields | grep Value
    "Value" : "Ada"

Not implemented
    user, role, auth, make-mirror, downgrade and
    check datascale say so and exit with 1. So do flags of TLS, authentication and discovery. Output
    format protobuf. Flags of keep-alive and message sizes are accepted and change nothing.
"""
