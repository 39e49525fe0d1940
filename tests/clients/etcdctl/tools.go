//go:build tools

// Package tools pins the version of etcdctl that the tests build.
package tools

import _ "go.etcd.io/etcd/etcdctl/v3"
