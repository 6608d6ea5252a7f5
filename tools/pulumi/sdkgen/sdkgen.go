// Package sdkgen is what the commands have in common that write SDKs: the schema in, files out.
//
// There are three commands, because no version of Pulumi's modules has the generators of all languages: that of .NET
// and that of Java live in the newest versions that a Go module holds.
package sdkgen

import (
	"fmt"
	"os"
	"path/filepath"
)

// Files are the contents of files by their names, as every generator answers.
type Files = map[string][]byte

// Main runs a command: `NAME SCHEMA FOLDER` writes an SDK into FOLDER/LANGUAGE for each language of the command.
func Main(generators map[string]func(schema []byte) (Files, error)) {
	if len(os.Args) != 3 {
		fmt.Fprintf(os.Stderr, "usage: %s SCHEMA FOLDER\n", filepath.Base(os.Args[0]))
		os.Exit(2)
	}
	for language, generate := range generators {
		if err := run(os.Args[1], filepath.Join(os.Args[2], language), generate); err != nil {
			fmt.Fprintf(os.Stderr, "error: %s: %v\n", language, err)
			os.Exit(1)
		}
	}
}

func run(schemaFile, folder string, generate func([]byte) (Files, error)) error {
	schema, err := os.ReadFile(schemaFile)
	if err != nil {
		return err
	}
	made, err := generate(schema)
	if err != nil {
		return err
	}
	for name, text := range made {
		place := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(place, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
