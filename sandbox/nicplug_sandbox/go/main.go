// Command nicplug-controlplane is the laptop cluster's whole control plane in one file on disk:
//
//	nicplug-controlplane etcd|kube-apiserver|kube-scheduler [flags]   the real programs, with their own flags
//	nicplug-controlplane kube-controllers --kubeconfig FILE           the controllers a laptop cluster needs
//	nicplug-controlplane versions                                     what is linked in, as JSON
//
// One binary because the four programs share most of their packages, and linking, which no cache
// helps with, is then done once. docs/adr/0003-one-control-plane-binary.md has the figures.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	// Each program parses os.Args on its own and must see itself as argument zero.
	program := os.Args[1]
	os.Args = os.Args[1:]
	switch program {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "kube-controllers":
		os.Exit(cli.Run(newControllersCommand()))
	case "versions":
		printVersions()
	default:
		usage()
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: nicplug-controlplane etcd|kube-apiserver|kube-scheduler|kube-controllers|versions [flags]")
	os.Exit(2)
}

// printVersions answers from the build information: a constant here could drift from go.mod.
func printVersions() {
	versions := map[string]string{"go": runtime.Version()}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			switch module.Path {
			case "k8s.io/kubernetes":
				versions["kubernetes"] = module.Version
			case "go.etcd.io/etcd/server/v3":
				versions["etcd"] = module.Version
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(versions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
