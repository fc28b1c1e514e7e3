// The reference for tar-split files: vbatts/tar-split, which docker uses, behind a line protocol.
//
// Each request is one line of words on standard input, each answer one line on standard output:
// "ok", or "refused" and the reason. Paths hold no white space.
//
//	disassemble TAR LINES          write the tar-split of a tar
//	assemble LINES ROOT TAR        write the tar of a tar-split and the files beneath ROOT
//	write pax|gnu|ustar TREE TAR   write a tree with archive/tar, as docker does
package main

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

var formats = map[string]tar.Format{
	"pax":   tar.FormatPAX,
	"gnu":   tar.FormatGNU,
	"ustar": tar.FormatUSTAR,
}

func main() {
	requests := bufio.NewScanner(os.Stdin)
	for requests.Scan() {
		if err := answer(strings.Fields(requests.Text())); err != nil {
			fmt.Printf("refused %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok")
		}
	}
}

func answer(words []string) error {
	switch {
	case len(words) == 3 && words[0] == "disassemble":
		return disassemble(words[1], words[2])
	case len(words) == 4 && words[0] == "assemble":
		return assemble(words[1], words[2], words[3])
	case len(words) == 4 && words[0] == "write":
		return write(formats[words[1]], words[2], words[3])
	}
	return fmt.Errorf("no such request: %q", words)
}

func disassemble(archive, lines string) error {
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(lines)
	if err != nil {
		return err
	}
	defer out.Close()
	stream, err := asm.NewInputTarStream(in, storage.NewJSONPacker(out), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stream)
	return err
}

func assemble(lines, root, archive string) error {
	in, err := os.Open(lines)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer out.Close()
	stream := asm.NewOutputTarStream(storage.NewPathFileGetter(root), storage.NewJSONUnpacker(in))
	defer stream.Close()
	_, err = io.Copy(out, stream)
	return err
}

func write(format tar.Format, tree, archive string) error {
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer out.Close()
	writer := tar.NewWriter(out)
	first := map[uint64]string{}
	err = filepath.Walk(tree, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == tree {
			return err
		}
		name, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		return add(writer, format, first, path, name, info)
	})
	if err != nil {
		return err
	}
	return writer.Close()
}

func add(writer *tar.Writer, format tar.Format, first map[uint64]string, path, name string, info os.FileInfo) error {
	target := ""
	if info.Mode()&os.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Format = format
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	header.ModTime = header.ModTime.Truncate(time.Second)
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	status := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() && status.Nlink > 1 {
		if earlier, ok := first[status.Ino]; ok {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, earlier, 0
		} else {
			first[status.Ino] = name
		}
	}
	value := make([]byte, 128)
	if size, err := syscall.Getxattr(path, "security.capability", value); err == nil && format == tar.FormatPAX {
		header.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": string(value[:size])}
	}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	if header.Typeflag != tar.TypeReg {
		return nil
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(writer, in)
	return err
}
