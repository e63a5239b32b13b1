// The first process of the node and of each pod: holds the namespaces, buries orphans, ends when told.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	bury()
	for signal := range signals {
		if signal != syscall.SIGCHLD {
			return
		}
		bury()
	}
}

// Signals of the same kind merge: one SIGCHLD may stand for many children.
func bury() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 {
			return
		}
	}
}
