"""What may be typed: every command's arguments, their help, and completion in shells.

Owns the grammar, and which verb each command calls. It opens no store. Begin with `arguments`,
then `grammar` and `store`.
"""
