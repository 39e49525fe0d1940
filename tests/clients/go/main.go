// Command goclient runs etcd's own Go client against the endpoints it is given and prints one line for each check.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A check fails by returning an error.
type check struct {
	name string
	run  func(ctx context.Context, client *clientv3.Client) error
}

// patience is generous: the machine may be busy, and no check is about time.
const patience = 2 * time.Minute

func main() {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(os.Args[1], ","),
		DialTimeout: 30 * time.Second,
		Logger:      zap.NewNop(),
	})
	if err != nil {
		fmt.Println("FAILED dial:", err)
		os.Exit(1)
	}
	defer client.Close()
	failed := false
	for _, each := range append(clientChecks, kubernetesChecks...) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := each.run(ctx, client); err != nil {
			failed = true
			fmt.Printf("FAILED %s: %v\n", each.name, err)
		} else {
			fmt.Println("ok", each.name)
		}
		cancel()
	}
	if failed {
		os.Exit(1)
	}
}

func expect(holds bool, format string, values ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, values...)
}
