"""What docker's users type: taken in docker's words, or answered by a line that says what to type.

Owns docker's names of verbs that are here, and the answers for what isn't; what is taken otherwise
stands with each verb. It does nothing with a store. Begin with `table`, then `answers`.
"""
