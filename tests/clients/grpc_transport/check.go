package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var (
	bidi         = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	serverStream = &grpc.StreamDesc{ServerStreams: true}
	clientStream = &grpc.StreamDesc{ClientStreams: true}
)

// patience bounds every wait; nothing is expected to take as long.
const patience = 60 * time.Second

func check(target string) bool {
	conn := dial(target)
	defer conn.Close()
	checks := []struct {
		name string
		run  func(*grpc.ClientConn) error
	}{
		{"unary call", checkUnary},
		{"status with text and details", checkStatus},
		{"metadata", checkMetadata},
		{"deadline", checkDeadline},
		{"cancellation of a unary call", checkCancel},
		{"message of 2 MB, and one too large", checkLarge},
		{"gzip", checkGzip},
		{"server stream of 32 MB", checkServerStream},
		{"client stream", checkClientStream},
		{"message of 64 MB in parts", checkHuge},
		{"1000 bidi streams at once", checkManyStreams},
		{"cancellation of 500 streams", checkCancelStreams},
		{"small calls beside a stream that is not read", checkSlowReader},
		{"unknown service and method", checkUnknown},
	}
	good := true
	for _, each := range checks {
		if err := each.run(conn); err != nil {
			fmt.Printf("FAIL %s: %v\n", each.name, err)
			good = false
		} else {
			fmt.Printf("ok   %s\n", each.name)
		}
	}
	return good
}

func call(conn *grpc.ClientConn, method, request string, options ...grpc.CallOption) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return callWith(ctx, conn, method, request, options...)
}

func callWith(
	ctx context.Context, conn *grpc.ClientConn, method, request string, options ...grpc.CallOption,
) (string, error) {
	in, out := []byte(request), []byte{}
	err := conn.Invoke(ctx, "/echo.Echo/"+method, &in, &out, options...)
	return string(out), err
}

func want(got, expected any) error {
	if got != expected {
		return fmt.Errorf("got %v, want %v", got, expected)
	}
	return nil
}

func wantStatus(err error, code codes.Code, text string) error {
	got := status.Convert(err)
	if got.Code() != code || !strings.Contains(got.Message(), text) {
		return fmt.Errorf("got %v, want %v with %q", err, code, text)
	}
	return nil
}

func checkUnary(conn *grpc.ClientConn) error {
	for _, size := range []int{0, 1, 16379, 16380, 65535, 70000, 1 << 20} {
		request := strings.Repeat("a", size)
		answer, err := call(conn, "Unary", request)
		if err != nil {
			return err
		}
		if answer != request {
			return fmt.Errorf("an answer of %d octets to %d", len(answer), size)
		}
	}
	return nil
}

func checkStatus(conn *grpc.ClientConn) error {
	_, err := call(conn, "Fail", "9:100 % größer\nals 日本")
	if err := wantStatus(err, codes.FailedPrecondition, "100 % größer\nals 日本"); err != nil {
		return err
	}
	return want(len(status.Convert(err).Proto().GetDetails()), 1)
}

func checkMetadata(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx,
		"hasleader", "true", "token", "t.1", "token", "t.2", "some-bin", "\x00\xff")
	answer, err := callWith(ctx, conn, "Metadata", "")
	if err != nil {
		return err
	}
	for _, line := range []string{"hasleader=true\n", "token=t.1\ntoken=t.2\n", `b'\x00\xff'`} {
		if !strings.Contains(answer, line) {
			return fmt.Errorf("no %q in %q", line, answer)
		}
	}
	return nil
}

func checkDeadline(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := callWith(ctx, conn, "Never", "")
	return wantStatus(err, codes.DeadlineExceeded, "")
}

// awaitEndings waits until so many more calls have ended in a way than before.
func awaitEndings(conn *grpc.ClientConn, name string, count int) error {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		now, err := endings(conn, name)
		if err != nil {
			return err
		}
		if now >= count {
			return want(now, count)
		}
	}
	return fmt.Errorf("the server did not see %d calls %s", count, name)
}

func endings(conn *grpc.ClientConn, name string) (int, error) {
	answer, err := call(conn, "Endings", "")
	count := 0
	for _, word := range strings.Fields(answer) {
		if value, found := strings.CutPrefix(word, name+"="); found {
			if _, err := fmt.Sscan(value, &count); err != nil {
				return 0, err
			}
		}
	}
	return count, err
}

// checkCancel cancels calls until the server has seen one: on a busy machine a call may come and go
// in one turn, unseen by the service.
func checkCancel(conn *grpc.ClientConn) error {
	before, err := endings(conn, "CANCELLED")
	if err != nil {
		return err
	}
	for delay := 10 * time.Millisecond; delay < patience; delay *= 2 {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(delay, cancel)
		_, err := callWith(ctx, conn, "Never", "")
		cancel()
		if err := wantStatus(err, codes.Canceled, ""); err != nil {
			return err
		}
		now, err := endings(conn, "CANCELLED")
		if err != nil || now > before {
			return err
		}
	}
	return errors.New("the server saw no cancellation")
}

func checkLarge(conn *grpc.ClientConn) error {
	request := strings.Repeat("a", 2<<20)
	if _, err := call(conn, "Unary", request); err != nil {
		return err
	}
	_, err := call(conn, "Unary", request+"a")
	if err := wantStatus(err, codes.ResourceExhausted, "larger than max (2097153 vs. 2097152)"); err != nil {
		return err
	}
	_, err = call(conn, "Unary", "the connection stays")
	return err
}

func checkGzip(conn *grpc.ClientConn) error {
	request := strings.Repeat("a", 1<<20)
	answer, err := call(conn, "Unary", request, grpc.UseCompressor("gzip"))
	if err != nil {
		return err
	}
	if err := want(len(answer), len(request)); err != nil {
		return err
	}
	_, err = call(conn, "Unary", strings.Repeat("a", 4<<20), grpc.UseCompressor("gzip"))
	return wantStatus(err, codes.ResourceExhausted, "after decompression")
}

func open(
	ctx context.Context, conn *grpc.ClientConn, desc *grpc.StreamDesc, method string, requests ...string,
) (grpc.ClientStream, error) {
	stream, err := conn.NewStream(ctx, desc, "/echo.Echo/"+method)
	if err != nil {
		return nil, err
	}
	for _, request := range requests {
		message := []byte(request)
		if err := stream.SendMsg(&message); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	return stream, nil
}

func receiveAll(stream grpc.ClientStream) (messages, octets int, err error) {
	for {
		message := []byte{}
		err := stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return messages, octets, nil
		}
		if err != nil {
			return messages, octets, err
		}
		messages++
		octets += len(message)
	}
}

func checkServerStream(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := open(ctx, conn, serverStream, "ServerStream", "1000 32000")
	if err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	messages, octets, err := receiveAll(stream)
	if err != nil {
		return err
	}
	return want(fmt.Sprint(messages, octets), "1000 32000000")
}

func checkClientStream(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	requests := make([]string, 2000)
	for i := range requests {
		requests[i] = strings.Repeat("a", i)
	}
	stream, err := open(ctx, conn, clientStream, "ClientStream", requests...)
	if err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	answer := []byte{}
	if err := stream.RecvMsg(&answer); err != nil {
		return err
	}
	return want(string(answer), "2000 1999000")
}

func checkHuge(conn *grpc.ClientConn) error {
	answer, err := call(conn, "Huge", "64000000")
	if err != nil {
		return err
	}
	return want(len(answer), 64000000)
}

func echo(stream grpc.ClientStream, text string) error {
	request, answer := []byte(text), []byte{}
	if err := stream.SendMsg(&request); err != nil {
		return err
	}
	if err := stream.RecvMsg(&answer); err != nil {
		return err
	}
	if !bytes.Equal(request, answer) {
		return fmt.Errorf("%q was answered %q", request, answer)
	}
	return nil
}

func checkManyStreams(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const count = 1000
	var opened, done sync.WaitGroup
	problems := make(chan error, count)
	opened.Add(count)
	done.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			defer done.Done()
			stream, err := open(ctx, conn, bidi, "Bidi")
			if err == nil {
				err = echo(stream, fmt.Sprint("first of ", i))
			}
			opened.Done()
			opened.Wait() // all of them are open at the same time
			for round := 0; round < 5 && err == nil; round++ {
				err = echo(stream, fmt.Sprint(round, " of ", i))
			}
			if err == nil {
				err = stream.CloseSend()
			}
			if err == nil {
				if err = stream.RecvMsg(&[]byte{}); errors.Is(err, io.EOF) {
					err = nil
				}
			}
			problems <- err
		}()
	}
	done.Wait()
	for i := 0; i < count; i++ {
		if err := <-problems; err != nil {
			return err
		}
	}
	return nil
}

func checkCancelStreams(conn *grpc.ClientConn) error {
	before, err := endings(conn, "CANCELLED")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const count = 500
	for i := 0; i < count; i++ {
		stream, err := open(ctx, conn, bidi, "Bidi")
		if err != nil {
			return err
		}
		if err := echo(stream, "open"); err != nil {
			return err
		}
	}
	cancel()
	return awaitEndings(conn, "CANCELLED", before+count)
}

func checkSlowReader(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// 1 GB that nobody reads: it must neither be held in memory nor hold up what follows.
	if _, err := open(ctx, conn, serverStream, "ServerStream", "10000 100000"); err != nil {
		return err
	}
	for i := 0; i < 200; i++ {
		if _, err := callWith(ctx, conn, "Unary", "quick"); err != nil {
			return err
		}
	}
	return nil
}

func checkUnknown(conn *grpc.ClientConn) error {
	_, err := call(conn, "Missing", "")
	if err := wantStatus(err, codes.Unimplemented, "unknown method Missing for service echo.Echo"); err != nil {
		return err
	}
	in, out := []byte{}, []byte{}
	err = conn.Invoke(context.Background(), "/some.Other/Method", &in, &out)
	return wantStatus(err, codes.Unimplemented, "unknown service some.Other")
}
