package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

type loadOptions struct {
	connections, clients, size int
	timeout, duration          time.Duration
	streams                    bool
}

// load calls in closed loops until time is up, and returns how many answers came.
func load(target string, options loadOptions) int64 {
	conns := make([]*grpc.ClientConn, options.connections)
	for i := range conns {
		conns[i] = dial(target)
		defer conns[i].Close()
	}
	var calls atomic.Int64
	var done sync.WaitGroup
	until := time.Now().Add(options.duration)
	for i := 0; i < options.clients; i++ {
		done.Add(1)
		go func(conn *grpc.ClientConn) {
			defer done.Done()
			one := unaryCall
			if options.streams {
				one = streamCall(conn)
			}
			for time.Now().Before(until) {
				if err := one(conn, options); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				calls.Add(1)
			}
		}(conns[i%len(conns)])
	}
	done.Wait()
	return calls.Load()
}

func unaryCall(conn *grpc.ClientConn, options loadOptions) error {
	ctx := context.Background()
	if options.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, options.timeout)
		defer cancel()
	}
	request, answer := make([]byte, options.size), []byte{}
	return conn.Invoke(ctx, "/echo.Echo/Unary", &request, &answer)
}

func streamCall(conn *grpc.ClientConn) func(*grpc.ClientConn, loadOptions) error {
	stream, err := conn.NewStream(context.Background(), bidi, "/echo.Echo/Bidi")
	return func(_ *grpc.ClientConn, options loadOptions) error {
		if err != nil {
			return err
		}
		request, answer := make([]byte, options.size), []byte{}
		if err := stream.SendMsg(&request); err != nil {
			return err
		}
		return stream.RecvMsg(&answer)
	}
}
