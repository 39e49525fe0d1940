// Command grpc_transport drives the echo service of the gRPC transport's tests with grpc-go.
//
//	grpc_transport check 127.0.0.1:PORT
//	grpc_transport load -connections 100 -clients 1000 -seconds 3 [-timeout 5s] 127.0.0.1:PORT
//
// check prints one line for each check and exits with 1 if one failed; load prints calls and seconds.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func dial(target string, more ...grpc.DialOption) *grpc.ClientConn {
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(1<<31-1),
		),
	}, more...)
	conn, err := grpc.NewClient("passthrough:///"+target, options...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return conn
}

func main() {
	connections := flag.Int("connections", 1, "connections")
	clients := flag.Int("clients", 1, "calls at a time")
	seconds := flag.Float64("seconds", 3, "how long")
	timeout := flag.Duration("timeout", 0, "deadline of each call; 0: none")
	size := flag.Int("size", 280, "octets of a message")
	streams := flag.Bool("streams", false, "messages of bidi streams rather than unary calls")
	if len(os.Args) < 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	target := flag.Arg(0)
	switch os.Args[1] {
	case "check":
		if !check(target) {
			os.Exit(1)
		}
	case "load":
		started := time.Now()
		calls := load(target, loadOptions{
			connections: *connections, clients: *clients, size: *size, timeout: *timeout,
			duration: time.Duration(*seconds * float64(time.Second)), streams: *streams,
		})
		fmt.Printf("%d %.3f\n", calls, time.Since(started).Seconds())
	default:
		flag.Usage()
		os.Exit(2)
	}
}
