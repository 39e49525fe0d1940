//go:build tools

// Pins the version of etcdutl that the tests build.
package main

import _ "go.etcd.io/etcd/etcdutl/v3"
