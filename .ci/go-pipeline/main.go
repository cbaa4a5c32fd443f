// Parse and interpolate pipelines with the parser of Buildkite's newest agent, and print them as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	pipeline "github.com/buildkite/go-pipeline"
	"github.com/buildkite/go-pipeline/warning"
)

func parse(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	parsed, err := pipeline.Parse(file)
	if err != nil && !warning.Is(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("warning: %w", err)
	}
	if err := parsed.Interpolate(nil, false); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(parsed)
}

func main() {
	for _, name := range os.Args[1:] {
		if err := parse(name); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
	}
}
